/* The log-dirty mode of one domain: which pages were written since the last look. */
#ifndef SIMXEN_LIB_DIRTY_H
#define SIMXEN_LIB_DIRTY_H

#include "lib_memory.h"

struct page_region; /* of PAGEMAP_SCAN */

struct dirty_log {
    const struct domain_memory *memory;
    enum simxen_tracker tracker;
    int pidfd;      /* of the guest process: was it alive all along? -1: no guest runs */
    int pagemap_fd; /* uffd tracker only */
    struct page_region *regions;
};

void dirty_init(struct dirty_log *log, const struct domain_memory *memory);

/* Log-dirty on, and whatever was logged before forgotten. 0, or -1 and errno. */
int dirty_enable(struct dirty_log *log, xc_interface *xch, uint32_t domid);

/* CLEAN: fill `bitmap` (nr_pages bits, words) with the pages written since the last look and
 * start anew, page by page atomically. Their number, or -1 and errno (ESRCH: guest died). */
int64_t dirty_clean(struct dirty_log *log, uint64_t *bitmap);

/* PEEK: how many pages are logged, which stay so. -1 and errno. */
int64_t dirty_peek(xc_interface *xch, uint32_t domid);

/* Forget what was logged before the mode was on. 0, or -1 and errno. */
int dirty_forget(xc_interface *xch, uint32_t domid);

/* Free what dirty_enable() took; switching the mode off is the caller's (it always has to). */
void dirty_close(struct dirty_log *log);

#endif
