"""The only users of the binding to Xen's libraries, or simxen's."""
