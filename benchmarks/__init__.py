"""`make bench`: what the gateway costs, as ratios to what stands beside it in the same run. RESULTS.md reports one."""
