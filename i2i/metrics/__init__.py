"""Metrics of images, as functions of tensors.

pixel     images against their targets: l1, PSNR, SSIM, luma
features  two sets of images by features of a network: FID, KID, Inception score, precision, recall, density, coverage
collapse  diversity of a set of images, and the modes that samples reach
"""
