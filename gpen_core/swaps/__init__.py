"""After a face swap: which frames and faces it changed, and how they are blended."""
