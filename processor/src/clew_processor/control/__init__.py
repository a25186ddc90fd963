"""What the processor tells about itself: health and metrics."""
