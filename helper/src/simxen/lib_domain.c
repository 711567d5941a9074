/* Domain control: each function is one request to the host. */
#include "lib_dirty.h"
#include "lib_handle.h"

#include <errno.h>
#include <string.h>

int domain_info(xc_interface *xch, uint32_t domid, struct simxen_reply *reply)
{
    struct simxen_request request = {.op = SIMXEN_INFO, .domid = domid};
    return host_call(xch, &request, reply, NULL, 0) < 0 ? -1 : 0;
}

static void fill_info(union full_domaininfo *to, const uint64_t *val)
{
    memset(to, 0, sizeof *to);
    to->front.domain = (uint16_t)val[SIMXEN_INFO_DOMID];
    to->front.flags = (uint32_t)(val[SIMXEN_INFO_FLAGS] & 0xffff) |
                      (uint32_t)(val[SIMXEN_INFO_REASON] & 0xff) << XEN_DOMINF_REASON_SHIFT;
    to->front.tot_pages = val[SIMXEN_INFO_TOT_PAGES];
    to->front.max_pages = val[SIMXEN_INFO_MAX_PAGES];
    to->front.outstanding_pages = val[SIMXEN_INFO_OUTSTANDING];
    to->front.cpu_time = val[SIMXEN_INFO_CPU_TIME];
    to->front.nr_online_vcpus = (uint32_t)val[SIMXEN_INFO_VCPUS];
    to->front.max_vcpu_id = to->front.nr_online_vcpus ? to->front.nr_online_vcpus - 1 : UINT32_MAX;
    memcpy(to->front.handle, &val[SIMXEN_INFO_UUID], sizeof to->front.handle);
}

/* How many were written to info[]; 0 if there is none from first_domain on. */
int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain, unsigned max_domains,
                          xc_domaininfo_t *info)
{
    union full_domaininfo *to = (union full_domaininfo *)info;
    unsigned count = 0;
    for (uint32_t next = first_domain; count < max_domains && count < INT32_MAX; count++) {
        struct simxen_request request = {.op = SIMXEN_LIST, .arg = {next}};
        struct simxen_reply reply;
        if (host_call(xch, &request, &reply, NULL, 0) < 0) {
            if (errno != ENOENT)
                return -1;
            break;
        }
        if (reply.val[SIMXEN_INFO_DOMID] < next ||
            reply.val[SIMXEN_INFO_DOMID] >= DOMID_FIRST_RESERVED) {
            errno = EIO; /* a list that goes backwards would never end */
            return -1;
        }
        fill_info(&to[count], reply.val);
        next = (uint32_t)reply.val[SIMXEN_INFO_DOMID] + 1;
    }
    return (int)count;
}

/* XEN_SYSCTL_PHYSCAP_hvm, _pv, _hap and _shadow: domains of every type, all can log dirty
 * pages. Only the part of the struct that every release has is written. */
int xc_physinfo(xc_interface *xch, xc_physinfo_t *info)
{
    (void)xch;
    *info = (xc_physinfo_t){ .capabilities = 1u << 0 | 1u << 1 | 1u << 3 | 1u << 4 };
    return 0;
}

/* All that is free: widths and nodes are not told apart. */
int xc_availheap(xc_interface *xch, int min_width, int max_width, int node, uint64_t *bytes)
{
    struct simxen_request request = {.op = SIMXEN_MEMORY};
    struct simxen_reply reply;
    (void)min_width, (void)max_width, (void)node;
    if (host_call(xch, &request, &reply, NULL, 0) < 0)
        return -1;
    *bytes = reply.val[0];
    return 0;
}

/* Of all that there is to ask only XENVER_commandline, which is empty: here is no dom0. */
int xc_version(xc_interface *xch, int cmd, void *arg)
{
    (void)xch;
    if (cmd != 9) {
        errno = ENOSYS;
        return -1;
    }
    *(char *)arg = '\0';
    return 0;
}

int xc_domain_claim_pages(xc_interface *xch, uint32_t domid, unsigned long nr_pages)
{
    return host_simple(xch, SIMXEN_CLAIM, domid, nr_pages);
}

int xc_hvm_param_get(xc_interface *xch, uint32_t domid, uint32_t param, uint64_t *value)
{
    struct simxen_request request = {.op = SIMXEN_HVM_PARAM, .domid = domid, .arg = {param}};
    struct simxen_reply reply;
    if (host_call(xch, &request, &reply, NULL, 0) < 0)
        return -1;
    *value = reply.val[0];
    return 0;
}

int xc_domain_pause(xc_interface *xch, uint32_t domid)
{
    return host_simple(xch, SIMXEN_PAUSE, domid, 0);
}

int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    return host_simple(xch, SIMXEN_UNPAUSE, domid, 0);
}

int xc_domain_shutdown(xc_interface *xch, uint32_t domid, int reason)
{
    return host_simple(xch, SIMXEN_SHUTDOWN, domid, (uint64_t)(unsigned)reason);
}

int xc_domain_resume(xc_interface *xch, uint32_t domid, int fast)
{
    return host_simple(xch, SIMXEN_RESUME, domid, fast != 0);
}

int xc_domain_destroy(xc_interface *xch, uint32_t domid)
{
    return host_simple(xch, SIMXEN_DESTROY, domid, 0);
}

/* OFF, both spellings of "enable log-dirty", and PEEK for the statistics. CLEAN, and PEEK of the
 * bitmap, need libxencall's bounce buffers, which nobody outside this library has; xc_domain_save
 * reads the log by lib_dirty.c. */
long long xc_logdirty_control(xc_interface *xch, uint32_t domid, unsigned sop,
                              xc_hypercall_buffer_t *dirty_bitmap, unsigned long pages,
                              unsigned mode, xc_shadow_op_stats_t *stats)
{
    (void)pages;
    if (dirty_bitmap == NULL && sop == SHADOW_OP_OFF)
        return host_simple(xch, SIMXEN_LOGDIRTY, domid, 0);
    if (dirty_bitmap == NULL && (sop == SHADOW_OP_ENABLE_LOGDIRTY ||
                                 (sop == SHADOW_OP_ENABLE && mode == SHADOW_ENABLE_LOG_DIRTY)))
        return host_simple(xch, SIMXEN_LOGDIRTY, domid, 1) < 0 ? -1 : dirty_forget(xch, domid);
    if (dirty_bitmap == NULL && sop == SHADOW_OP_PEEK && stats != NULL) {
        int64_t count = dirty_peek(xch, domid);
        *stats = (xc_shadow_op_stats_t){.dirty_count = (uint32_t)count};
        return count < 0 ? -1 : 0;
    }
    errno = EOPNOTSUPP;
    return -1;
}
