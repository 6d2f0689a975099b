"""AVP-GAN (Mao et al. 2024)."""
