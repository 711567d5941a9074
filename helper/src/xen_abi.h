/*
 * What the shim needs of Xen's C interface, so that no Xen header is needed to
 * build.  Three ranges are known: 4.14 (smaller precopy_stats, log-dirty control
 * under another name, as in 4.15), 4.15 to 4.21, and 4.22 on (restore has memflags).
 *
 * Compiled a second time by the tests, behind Xen's own headers and with
 * XEN_ABI_CHECK defined: then the structs below get other names, the function
 * types are made of Xen's types, and every one is asserted to be the same.
 */
#ifndef LIBXLPY_XEN_ABI_H
#define LIBXLPY_XEN_ABI_H

#include <stdarg.h>
#include <stdint.h>

#ifdef XEN_ABI_CHECK
#define XEN_TYPE(name) checked_##name
#else
#define XEN_TYPE(name) name

typedef struct xc_interface_core xc_interface;
typedef struct xc_hypercall_buffer xc_hypercall_buffer_t;
typedef struct xen_domctl_shadow_op_stats xc_shadow_op_stats_t;
typedef struct xentoollog_logger xentoollog_logger;
typedef struct xen_domctl_getdomaininfo xc_domaininfo_t;
typedef struct xen_sysctl_physinfo xc_physinfo_t;
typedef unsigned long xen_pfn_t;
typedef struct xenevtchn_handle xenevtchn_handle;
typedef uint32_t evtchn_port_t;
typedef int xenevtchn_port_or_error_t;

typedef enum {
    XTL_NONE, XTL_DEBUG, XTL_VERBOSE, XTL_DETAIL, XTL_PROGRESS, XTL_INFO,
    XTL_NOTICE, XTL_WARN, XTL_ERROR, XTL_CRITICAL, XTL_NUM_LEVELS
} xentoollog_level;

typedef enum { XC_STREAM_PLAIN, XC_STREAM_REMUS, XC_STREAM_COLO } xc_stream_type_t;
#endif

/* ---- logging: xentoollog.h ---- */

struct XEN_TYPE(xentoollog_logger) {
    void (*vmessage)(struct xentoollog_logger *logger, xentoollog_level level,
                     int errnoval, const char *context, const char *format,
                     va_list arguments);
    void (*progress)(struct xentoollog_logger *logger, const char *context,
                     const char *doing_what, int percent, unsigned long done,
                     unsigned long total);
    void (*destroy)(struct xentoollog_logger *logger);
};

/* ---- saving and restoring: xenguest.h ---- */

struct XEN_TYPE(precopy_stats) {
    unsigned int iteration;
    unsigned long total_written; /* pages */
    long dirty_count;            /* pages, -1 = unknown */
};

/* Xen 4.14 only: small enough to be passed in registers, so not a detail. */
struct precopy_stats_4_14 {
    unsigned int iteration;
    unsigned int total_written;
    long dirty_count;
};
typedef int precopy_policy_4_14_fn(struct precopy_stats_4_14 stats, void *data);

struct XEN_TYPE(save_callbacks) {
    int (*suspend)(void *data);
    int (*precopy_policy)(struct precopy_stats stats, void *data);
    int (*postcopy)(void *data);
    int (*checkpoint)(void *data);
    int (*wait_checkpoint)(void *data);
    int (*switch_qemu_logdirty)(uint32_t domid, unsigned enable, void *data);
    void *data;
};

struct XEN_TYPE(restore_callbacks) {
    int (*static_data_done)(unsigned int missing, void *data);
    int (*suspend)(void *data);
    int (*postcopy)(void *data);
    int (*checkpoint)(void *data);
    int (*wait_checkpoint)(void *data);
    void (*restore_results)(xen_pfn_t store_gfn, xen_pfn_t console_gfn, void *data);
    void *data;
};

typedef int xc_domain_save_fn(xc_interface *xch, int io_fd, uint32_t dom,
                              uint32_t flags, struct save_callbacks *callbacks,
                              xc_stream_type_t stream_type, int recv_fd);
typedef int xc_domain_restore_4_14_fn(
    xc_interface *xch, int io_fd, uint32_t dom, unsigned int store_evtchn,
    unsigned long *store_mfn, uint32_t store_domid, unsigned int console_evtchn,
    unsigned long *console_mfn, uint32_t console_domid, xc_stream_type_t stream_type,
    struct restore_callbacks *callbacks, int send_back_fd);
typedef int xc_domain_restore_4_22_fn(
    xc_interface *xch, int io_fd, uint32_t dom, unsigned int store_evtchn,
    unsigned long *store_mfn, uint32_t store_domid, unsigned int console_evtchn,
    unsigned long *console_mfn, uint32_t console_domid, xc_stream_type_t stream_type,
    struct restore_callbacks *callbacks, int send_back_fd, unsigned int memflags);
typedef int xc_domain_resume_fn(xc_interface *xch, uint32_t domid, int fast);

/* ---- domains: xenctrl.h ---- */

/* Only the front of Xen's struct: nothing behind `handle` is looked at. */
struct XEN_TYPE(xen_domctl_getdomaininfo) {
    uint16_t domain;
    uint16_t pad1;
    uint32_t flags;
    uint64_t tot_pages;
    uint64_t max_pages;
    uint64_t outstanding_pages;
    uint64_t shr_pages;
    uint64_t paged_pages;
    uint64_t shared_info_frame;
    uint64_t cpu_time; /* nanoseconds */
    uint32_t nr_online_vcpus;
    uint32_t max_vcpu_id;
    uint32_t ssidref;
    uint8_t handle[16];
};

/* The front again; what is behind differs between releases. */
struct XEN_TYPE(xen_sysctl_physinfo) {
    uint32_t threads_per_core;
    uint32_t cores_per_socket;
    uint32_t nr_cpus;
    uint32_t max_cpu_id;
    uint32_t nr_nodes;
    uint32_t max_node_id;
    uint32_t cpu_khz;
    uint32_t capabilities; /* XEN_SYSCTL_PHYSCAP_* */
};

struct XEN_TYPE(xen_domctl_shadow_op_stats) {
    uint32_t fault_count;
    uint32_t dirty_count;
};

typedef xc_interface *xc_interface_open_fn(xentoollog_logger *logger,
                                           xentoollog_logger *dombuild_logger,
                                           unsigned open_flags);
typedef int xc_interface_close_fn(xc_interface *xch);
typedef int xc_domain_getinfolist_fn(xc_interface *xch, uint32_t first_domain,
                                     unsigned int max_domains, xc_domaininfo_t *info);
typedef int xc_physinfo_fn(xc_interface *xch, xc_physinfo_t *info);
typedef int xc_availheap_fn(xc_interface *xch, int min_width, int max_width, int node,
                            uint64_t *bytes);
typedef int xc_version_fn(xc_interface *xch, int cmd, void *arg);
typedef int xc_domain_claim_pages_fn(xc_interface *xch, uint32_t domid,
                                     unsigned long nr_pages);
typedef int xc_hvm_param_get_fn(xc_interface *xch, uint32_t domid, uint32_t param,
                                uint64_t *value);
typedef int xc_domain_pause_fn(xc_interface *xch, uint32_t domid);
typedef int xc_domain_unpause_fn(xc_interface *xch, uint32_t domid);
typedef int xc_domain_destroy_fn(xc_interface *xch, uint32_t domid);
typedef int xc_domain_shutdown_fn(xc_interface *xch, uint32_t domid, int reason);

/* 4.16 on. */
typedef long long xc_logdirty_control_fn(xc_interface *xch, uint32_t domid,
                                         unsigned int sop,
                                         xc_hypercall_buffer_t *dirty_bitmap,
                                         unsigned long pages, unsigned int mode,
                                         xc_shadow_op_stats_t *stats);
/* 4.14 and 4.15, where it did log-dirty as well; another function since. */
typedef int xc_shadow_control_4_14_fn(xc_interface *xch, uint32_t domid,
                                      unsigned int sop,
                                      xc_hypercall_buffer_t *dirty_bitmap,
                                      unsigned long pages, unsigned long *mb,
                                      uint32_t mode, xc_shadow_op_stats_t *stats);

/* ---- event channels: xenctrl.h, xenevtchn.h ---- */

typedef int xc_domain_subscribe_for_suspend_fn(xc_interface *xch, uint32_t domid,
                                               evtchn_port_t port);
typedef xenevtchn_handle *xenevtchn_open_fn(xentoollog_logger *logger,
                                            unsigned open_flags);
typedef int xenevtchn_close_fn(xenevtchn_handle *xce);
typedef int xenevtchn_fd_fn(xenevtchn_handle *xce);
typedef xenevtchn_port_or_error_t xenevtchn_bind_interdomain_fn(
    xenevtchn_handle *xce, uint32_t domid, evtchn_port_t remote_port);
typedef int xenevtchn_notify_fn(xenevtchn_handle *xce, evtchn_port_t port);
typedef xenevtchn_port_or_error_t xenevtchn_pending_fn(xenevtchn_handle *xce);
typedef int xenevtchn_unmask_fn(xenevtchn_handle *xce, evtchn_port_t port);

#endif
