"""What-if: the real loop on fields whose readouts are known, so that policies can be compared without any light."""
