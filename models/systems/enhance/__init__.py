"""The image enhancement module of AVP-GAN (section 3.3): a GFP-GAN that restores generated faces at 512 pixels."""
