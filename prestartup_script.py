"""Run by ComfyUI before it imports any pack: keeps in mind where the user's models lie.

Packs may replace a folder category when they are imported, and with it the folders that
extra_model_paths.yaml named (ReActor: nodes.py, "facerestore_models"). These have categories of the
pack's own, which ``nodes/model_folders.py`` reads.
"""

import folder_paths

for name in ("facerestore_models", "gpen", "facedetection"):
    if name in folder_paths.folder_names_and_paths:
        for path in folder_paths.get_folder_paths(name):
            folder_paths.add_model_folder_path(f"gpen_{name}", path)
