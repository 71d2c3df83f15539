// @ts-check
// What Detect Faces has found.

import { FacesView } from "./lib/faces_view.js";
import { registerView } from "./lib/register.js";

registerView("GPEN.DetectedFaces", ["GPEN_DetectFaces"], "gpen_faces", FacesView);
