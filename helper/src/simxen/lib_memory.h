/* A domain's memory and vcpu page, mapped here: what foreign mappings are to libxc. */
#ifndef SIMXEN_LIB_MEMORY_H
#define SIMXEN_LIB_MEMORY_H

#include "lib_handle.h"

struct domain_memory {
    int fd;         /* the memory's memfd */
    uint8_t *pages; /* nr_pages * SIMXEN_PAGE_SIZE bytes; gfn == page number */
    uint64_t nr_pages;
    struct simxen_vcpu *vcpu; /* vcpu page and the two bitmaps behind it */
    uint64_t *guest_bitmap, *dm_bitmap;
    enum simxen_type type;
    int guest_pid;          /* 0 if no guest process runs */
    uint64_t guest_address; /* of the memory in that process */
};

/* 0, or -1 and errno (ESRCH: no such domain). Whatever came out, memory_unmap() undoes it. */
int memory_map(xc_interface *xch, uint32_t domid, struct domain_memory *m);
void memory_unmap(struct domain_memory *m);

/* Fill our page tables now instead of by faults later; of a large memory only the front. */
void memory_map_ahead(const struct domain_memory *m);

#endif
