"""A stand-in for VideoHelperSuite's loader, info and combiner: the same nodes and sockets."""

from fractions import Fraction
from pathlib import Path

import av
import folder_paths
import numpy as np
import torch


class LoadVideo:
    @classmethod
    def INPUT_TYPES(cls):
        folder = Path(folder_paths.get_input_directory())
        files = sorted(file.name for file in folder.glob("*.mp4"))
        return {
            "required": {
                "video": (files,),
                "force_rate": ("FLOAT", {"default": 0, "min": 0, "max": 60, "step": 1}),
                "custom_width": ("INT", {"default": 0, "min": 0, "max": 8192}),
                "custom_height": ("INT", {"default": 0, "min": 0, "max": 8192}),
                "frame_load_cap": ("INT", {"default": 0, "min": 0, "max": 2**31}),
                "skip_first_frames": ("INT", {"default": 0, "min": 0, "max": 2**31}),
                "select_every_nth": ("INT", {"default": 1, "min": 1, "max": 2**31}),
            },
            "optional": {"meta_batch": ("VHS_BatchManager",), "vae": ("VAE",)},
        }

    RETURN_TYPES = ("IMAGE", "INT", "AUDIO", "VHS_VIDEOINFO")
    RETURN_NAMES = ("IMAGE", "frame_count", "audio", "video_info")
    FUNCTION = "load"
    CATEGORY = "Video Helper Suite"

    def load(self, video, **_widgets):
        with av.open(folder_paths.get_annotated_filepath(video)) as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate)
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        images = torch.from_numpy(np.stack(frames).astype(np.float32) / 255)
        info = {"loaded_fps": rate, "loaded_frame_count": len(frames)}
        info |= {"loaded_duration": len(frames) / rate}
        info |= {"loaded_width": images.shape[2], "loaded_height": images.shape[1]}
        silence = {"waveform": torch.zeros(1, 2, 44100), "sample_rate": 44100}
        return (images, len(frames), silence, info)


class VideoInfoLoaded:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"video_info": ("VHS_VIDEOINFO",)}}

    RETURN_TYPES = ("FLOAT", "INT", "FLOAT", "INT", "INT")
    RETURN_NAMES = ("fps🟦", "frame_count🟦", "duration🟦", "width🟦", "height🟦")
    FUNCTION = "read"
    CATEGORY = "Video Helper Suite"

    def read(self, video_info):
        keys = ("fps", "frame_count", "duration", "width", "height")
        return tuple(video_info[f"loaded_{key}"] for key in keys)


class VideoCombine:
    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "images": ("IMAGE",),
                "frame_rate": ("FLOAT", {"default": 8, "min": 1, "step": 1}),
                "loop_count": ("INT", {"default": 0, "min": 0, "max": 100}),
                "filename_prefix": ("STRING", {"default": "AnimateDiff"}),
                "format": (["image/gif", "image/webp", "video/h264-mp4"],),
                "pingpong": ("BOOLEAN", {"default": False}),
                "save_output": ("BOOLEAN", {"default": True}),
            },
            "optional": {
                "audio": ("AUDIO",),
                "meta_batch": ("VHS_BatchManager",),
                "vae": ("VAE",),
            },
        }

    RETURN_TYPES = ("VHS_FILENAMES",)
    RETURN_NAMES = ("Filenames",)
    OUTPUT_NODE = True
    FUNCTION = "combine"
    CATEGORY = "Video Helper Suite"

    def combine(self, images, frame_rate, filename_prefix, save_output=True, **_widgets):
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        file = Path(folder) / f"{name}_{counter:05}.mp4"
        with av.open(str(file), "w") as container:
            rate = Fraction(frame_rate).limit_denominator(1001)
            stream = container.add_stream("libx264", rate=rate)
            stream.width, stream.height = images.shape[2], images.shape[1]
            stream.pix_fmt = "yuv420p"
            for image in images:
                pixels = (image[..., :3] * 255).round().byte().numpy()
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
        preview = {"filename": file.name, "subfolder": subfolder, "type": "output"}
        return {"ui": {"gifs": [preview]}, "result": ((save_output, [str(file)]),)}


NODE_CLASS_MAPPINGS = {
    "VHS_LoadVideo": LoadVideo,
    "VHS_VideoInfoLoaded": VideoInfoLoaded,
    "VHS_VideoCombine": VideoCombine,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "VHS_LoadVideo": "Load Video (Upload) 🎥🅥🅗🅢",
    "VHS_VideoInfoLoaded": "Video Info (Loaded) 🎥🅥🅗🅢",
    "VHS_VideoCombine": "Video Combine 🎥🅥🅗🅢",
}
