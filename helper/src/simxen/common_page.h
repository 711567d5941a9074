/* Writing one guest page and everything that has to follow it. */
#ifndef SIMXEN_COMMON_PAGE_H
#define SIMXEN_COMMON_PAGE_H

#include <stdint.h>

/* A bijective mixer of 64 bits (splitmix64's finisher): cheap, and no two inputs collide. */
static inline uint64_t mix64(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Give the page its next generation and add the difference to *digest. */
void simxen_page_advance(void *page, uint64_t pfn, uint64_t *digest);

/* Set bit pfn of a shared bitmap after the page was written. */
static inline void bitmap_log(uint64_t *bitmap, uint64_t pfn)
{
    uint64_t bit = UINT64_C(1) << (pfn % 64);
    /* The fence keeps the page's stores before the look at the bit: were the bit seen set, then
     * taken by the saver, and the page copied before the stores land, the write would be lost. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!(__atomic_load_n(&bitmap[pfn / 64], __ATOMIC_RELAXED) & bit))
        __atomic_or_fetch(&bitmap[pfn / 64], bit, __ATOMIC_SEQ_CST);
}

#endif
