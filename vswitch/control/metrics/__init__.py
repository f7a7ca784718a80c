"""`/metrics`: what Prometheus reads. Counters are copied on the loop of the switch; all else is another process's work.

Names and labels are a promise to dashboards: they grow by addition. No MAC address is ever a label. A family group is
one file here, with a line in `groups`.
"""
