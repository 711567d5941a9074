/* The Xen side of libsimxen: the functions it exports, with Xen's own types, and the constants
 * of Xen's public interface that they use. */
#ifndef SIMXEN_LIB_XEN_H
#define SIMXEN_LIB_XEN_H

#include "../xen_abi.h"
#include "simxen.h"

/* What this library says it is, in stream headers. */
#define SIMXEN_XEN_MAJOR 4
#define SIMXEN_XEN_MINOR 20

#define XEN_DOMINF_HVM (1u << 1)
#define XEN_DOMINF_SHUTDOWN (1u << 2)
#define XEN_DOMINF_REASON_SHIFT 16
#define SHUTDOWN_SUSPEND 2u
#define DOMID_FIRST_RESERVED 0x7ff0u

enum {
    SHADOW_OP_OFF = 0,
    SHADOW_OP_ENABLE_LOGDIRTY = 2,
    SHADOW_OP_PEEK = 12,
    SHADOW_OP_ENABLE = 32,
    SHADOW_ENABLE_LOG_DIRTY = 1 << 2, /* mode of ENABLE */
};

enum { XCFLAGS_LIVE = 1 << 0, XCFLAGS_DEBUG = 1 << 1 };
enum { POLICY_ABORT = -1, POLICY_CONTINUE = 0, POLICY_STOP = 1 };
enum { MISSING_CPUID = 1 << 0, MISSING_MSR = 1 << 1 };
enum { CHECKPOINT_ERROR = 0, CHECKPOINT_SUCCESS = 1, CHECKPOINT_FAILOVER = 2 };

/* struct xen_domctl_getdomaininfo of 4.17 to 4.20 at its full size: xen_abi.h has only its front,
 * but an array of them must have Xen's stride. */
union full_domaininfo {
    struct xen_domctl_getdomaininfo front;
    uint64_t raw[14];
};
_Static_assert(sizeof(union full_domaininfo) == 112, "domaininfo");

extern SIMXEN_API xc_interface_open_fn xc_interface_open;
extern SIMXEN_API xc_interface_close_fn xc_interface_close;
extern SIMXEN_API xc_domain_getinfolist_fn xc_domain_getinfolist;
extern SIMXEN_API xc_physinfo_fn xc_physinfo;
extern SIMXEN_API xc_availheap_fn xc_availheap;
extern SIMXEN_API xc_version_fn xc_version;
extern SIMXEN_API xc_domain_claim_pages_fn xc_domain_claim_pages;
extern SIMXEN_API xc_hvm_param_get_fn xc_hvm_param_get;
extern SIMXEN_API xc_domain_pause_fn xc_domain_pause;
extern SIMXEN_API xc_domain_unpause_fn xc_domain_unpause;
extern SIMXEN_API xc_domain_shutdown_fn xc_domain_shutdown;
extern SIMXEN_API xc_domain_resume_fn xc_domain_resume;
extern SIMXEN_API xc_domain_destroy_fn xc_domain_destroy;
extern SIMXEN_API xc_logdirty_control_fn xc_logdirty_control;
extern SIMXEN_API xc_domain_subscribe_for_suspend_fn xc_domain_subscribe_for_suspend;
extern SIMXEN_API xenevtchn_open_fn xenevtchn_open;
extern SIMXEN_API xenevtchn_close_fn xenevtchn_close;
extern SIMXEN_API xenevtchn_fd_fn xenevtchn_fd;
extern SIMXEN_API xenevtchn_bind_interdomain_fn xenevtchn_bind_interdomain;
extern SIMXEN_API xenevtchn_notify_fn xenevtchn_notify;
extern SIMXEN_API xenevtchn_pending_fn xenevtchn_pending;
extern SIMXEN_API xenevtchn_unmask_fn xenevtchn_unmask;
extern SIMXEN_API xc_domain_save_fn xc_domain_save;
extern SIMXEN_API xc_domain_restore_4_14_fn xc_domain_restore;

#endif
