"""The ids of the nodes, which saved workflows hold: they never change."""

NODE_IDS = [
    "GPEN_LoadModel",
    "GPEN_RestoreFaces",
    "GPEN_DetectFaces",
    "GPEN_SelectFaces",
    "GPEN_CropFaces",
    "GPEN_RestoreCrops",
    "GPEN_PasteFaces",
    "GPEN_FaceMask",
    "GPEN_BlendSwap",
    "GPEN_Compare",
    "GPEN_Degrade",
]
