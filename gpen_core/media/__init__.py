"""Picture and video files: restore the faces in them, or damage them, and keep everything else."""

from .degrade_picture import DegradeReport, degrade_picture
from .jobs import Job, JobError, Plan, plan_jobs
from .pictures import PICTURE_SUFFIXES, Picture, read_picture, write_picture
from .restore_picture import PictureReport, restore_picture
from .video_encoding import VideoCodec, VideoEncoding
from .videos import VideoReport, restore_video

__all__ = [
    "PICTURE_SUFFIXES",
    "DegradeReport",
    "Job",
    "JobError",
    "Picture",
    "PictureReport",
    "Plan",
    "VideoCodec",
    "VideoEncoding",
    "VideoReport",
    "degrade_picture",
    "plan_jobs",
    "read_picture",
    "restore_picture",
    "restore_video",
    "write_picture",
]
