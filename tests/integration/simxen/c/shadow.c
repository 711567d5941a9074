/* Dirty tracking against the truth: a copy of the memory. */
#include "driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct watched {
    xc_interface *xch;
    uint32_t domid;
    struct domain_memory memory;
    struct dirty_log log;
    uint8_t *shadow;
    uint64_t *bitmap;
    uint64_t reported, wrong;
};

static int start(struct watched *w, xc_interface *xch, uint32_t domid)
{
    memset(w, 0, sizeof *w);
    w->xch = xch;
    w->domid = domid;
    if (memory_map(xch, domid, &w->memory) != 0)
        return -1;
    dirty_init(&w->log, &w->memory);
    w->shadow = malloc(w->memory.nr_pages * SIMXEN_PAGE_SIZE);
    w->bitmap = calloc((w->memory.nr_pages + 63) / 64, sizeof *w->bitmap);
    return w->shadow && w->bitmap ? dirty_enable(&w->log, xch, domid) : -1;
}

static int stop(struct watched *w, int rc)
{
    int saved = errno;
    xc_logdirty_control(w->xch, w->domid, SHADOW_OP_OFF, NULL, 0, 0, NULL);
    printf("tracker %d reported %lu wrong %lu\n", (int)w->log.tracker, (unsigned long)w->reported,
           (unsigned long)w->wrong);
    printf("end %d %d 0 0\n", rc, rc ? saved : 0);
    dirty_close(&w->log);
    memory_unmap(&w->memory);
    free(w->shadow);
    free(w->bitmap);
    return 0;
}

static bool reported(const struct watched *w, uint64_t pfn)
{
    return w->bitmap[pfn / 64] >> (pfn % 64) & 1;
}

static uint8_t *page_of(uint8_t *memory, uint64_t pfn)
{
    return memory + pfn * SIMXEN_PAGE_SIZE;
}

static bool differs(const struct watched *w, uint64_t pfn)
{
    return memcmp(page_of(w->shadow, pfn), page_of(w->memory.pages, pfn), SIMXEN_PAGE_SIZE) != 0;
}

static int look(struct watched *w)
{
    int64_t count = dirty_clean(&w->log, w->bitmap);
    if (count > 0)
        w->reported += (uint64_t)count;
    return count < 0 ? -1 : 0;
}

/* Let the guest write until its counter has moved by `pages`: no times in tests. */
static void let_run(const struct watched *w, uint64_t pages)
{
    const uint64_t *counter = &w->memory.vcpu->arch.counter;
    uint64_t from = __atomic_load_n(counter, __ATOMIC_RELAXED);
    while (__atomic_load_n(counter, __ATOMIC_RELAXED) - from < pages)
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

int shadow_sets(xc_interface *xch, uint32_t domid, int rounds)
{
    struct watched w;
    int rc = start(&w, xch, domid);
    if (rc == 0)
        rc = xc_domain_pause(xch, domid);
    if (rc == 0)
        rc = look(&w);
    w.reported = 0;
    for (int round = 0; rc == 0 && round < rounds; round++) {
        memcpy(w.shadow, w.memory.pages, w.memory.nr_pages * SIMXEN_PAGE_SIZE);
        rc = xc_domain_unpause(xch, domid);
        let_run(&w, 1u << (round % 8)); /* from a few pages to many */
        if (rc == 0)
            rc = xc_domain_pause(xch, domid);
        if (rc == 0)
            rc = look(&w);
        for (uint64_t pfn = 0; rc == 0 && pfn < w.memory.nr_pages; pfn++)
            w.wrong += reported(&w, pfn) != differs(&w, pfn);
    }
    if (rc == 0)
        rc = xc_domain_unpause(xch, domid);
    return stop(&w, rc);
}

static void copy_reported(struct watched *w)
{
    for (uint64_t pfn = 0; pfn < w->memory.nr_pages; pfn++) {
        if (reported(w, pfn))
            memcpy(page_of(w->shadow, pfn), page_of(w->memory.pages, pfn), SIMXEN_PAGE_SIZE);
    }
}

int shadow_race(xc_interface *xch, uint32_t domid, int rounds)
{
    struct watched w;
    int rc = start(&w, xch, domid);
    if (rc == 0) /* as pass 0 of a save: everything, after log-dirty went on */
        memcpy(w.shadow, w.memory.pages, w.memory.nr_pages * SIMXEN_PAGE_SIZE);
    for (int round = 1; rc == 0 && round <= rounds; round++) {
        bool last = round % 50 == 0 || round == rounds;
        if (last)
            rc = xc_domain_pause(xch, domid);
        if (rc == 0)
            rc = look(&w);
        if (rc != 0)
            break;
        copy_reported(&w);
        if (!last)
            continue;
        for (uint64_t pfn = 0; pfn < w.memory.nr_pages; pfn++)
            w.wrong += differs(&w, pfn);
        rc = xc_domain_unpause(xch, domid);
    }
    return stop(&w, rc);
}

int shadow_watch(xc_interface *xch, uint32_t domid)
{
    struct watched w;
    char line[8];
    int rc = start(&w, xch, domid);
    printf("watching\n");
    fflush(stdout);
    while (rc == 0 && fgets(line, sizeof line, stdin) != NULL)
        rc = look(&w);
    return stop(&w, rc);
}
