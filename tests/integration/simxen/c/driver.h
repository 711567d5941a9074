/* What driver.c and shadow.c share. */
#ifndef SIMXEN_TEST_DRIVER_H
#define SIMXEN_TEST_DRIVER_H

#include "lib_dirty.h"

#include <stdbool.h>

/* Rounds of: snapshot, run, pause, read the log; the log must be exactly the pages that differ. */
int shadow_sets(xc_interface *xch, uint32_t domid, int rounds);

/* Rounds of: read the log while the guest writes at full speed, copy those pages to a shadow.
 * After a last look with the guest paused, the shadow must equal the memory. */
int shadow_race(xc_interface *xch, uint32_t domid, int rounds);

/* Log-dirty on, then read the log once for each input line until there is an error. */
int shadow_watch(xc_interface *xch, uint32_t domid);

#endif
