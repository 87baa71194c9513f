"""Files of images and video, losslessly. Knows nothing of networks."""
