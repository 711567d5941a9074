/* Stands in for libxenctrl and libxenguest of one release: libsimxen, on one host. */
int simxen_set_host(const char *dir);

__attribute__((constructor)) static void set_host(void)
{
	simxen_set_host(HOST);
}
