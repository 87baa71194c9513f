"""Metrics of images, as functions of tensors.

pixel         images against their targets: l1, PSNR, SSIM, luma
ms_ssim       SSIM over several scales
perceptual    LPIPS and DISTS: images against their targets by the features of a network
color         how colorful images are
segmentation  FCN score: what a segmenter recognizes in translations
features      two sets of images by features of a network: FID, KID, MIND, Inception score, precision, recall, coverage
feature_networks  those networks: EfficientNet-Lite0, AlexNet, VGG16, Inception-v3, any classifier
resize        the resize in front of such a network
swd           two sets of images by their patches, scale by scale
signs         signs of failed training in the outputs of a translator
study         rates and intervals of a human study
collapse      diversity of a set of images, and the modes that samples reach
weights       trained weights that come with i2i
"""
