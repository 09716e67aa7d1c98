"""What the command line does with a board in the hand: flash it, explain it, watch it. Needs no running gateway."""
