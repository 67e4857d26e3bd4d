"""Read what strangers wrote: pickles, checkpoints and downloads, without executing anything of them."""
