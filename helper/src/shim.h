/*
 * The helper's C: finds libxenguest's functions at run time and calls each through
 * its exact type; turns the logger's va_list into text; has the two things that
 * Python can't do safely around a blocking C call (see "abort").
 *
 * Knows nothing of Python: what it has to tell goes through `struct shim_sink`.
 */
#ifndef LIBXLPY_SHIM_H
#define LIBXLPY_SHIM_H

#include <signal.h>
#include <stddef.h>

#include "xen_abi.h"

enum {
    SHIM_TEXT_MAX = 4096, /* bytes of one log text, longer ones are cut */
    SHIM_ERROR_MAX = 512, /* bytes of shim_load's message */
    SHIM_COMMAND_LINE_MAX = 1024, /* bytes of Xen's options; it cuts them */
    SHIM_ABI_4_14 = 14,   /* 4.14: precopy_stats has another layout */
    SHIM_ABI_4_15 = 15,   /* 4.15 to 4.21 */
    SHIM_ABI_4_22 = 22,   /* 4.22 on: xc_domain_restore takes memflags */
};

/* ---- loading ---- */

struct shim_library {
    void *handle; /* of dlopen; never closed: libxenguest has threads' data */
    int abi;      /* SHIM_ABI_* */
    xc_interface_open_fn *interface_open;
    xc_interface_close_fn *interface_close;
    xc_domain_save_fn *domain_save;
    xc_domain_restore_4_14_fn *domain_restore_4_14; /* one of these two */
    xc_domain_restore_4_22_fn *domain_restore_4_22;
    xc_domain_getinfolist_fn *domain_getinfolist;
    xc_physinfo_fn *physinfo;
    xc_availheap_fn *availheap;
    xc_version_fn *version;
    xc_domain_claim_pages_fn *domain_claim_pages;
    xc_hvm_param_get_fn *hvm_param_get;
    xc_domain_pause_fn *domain_pause;
    xc_domain_unpause_fn *domain_unpause;
    xc_domain_shutdown_fn *domain_shutdown;
    xc_domain_resume_fn *domain_resume;
    xc_domain_destroy_fn *domain_destroy;
    xc_logdirty_control_fn *logdirty_control; /* one of these two */
    xc_shadow_control_4_14_fn *shadow_control_4_14;
};

/* Opens `name` (path or soname).  0, or -1 with one line in `error`. */
int shim_load(struct shim_library *library, const char *name, int abi,
              char error[SHIM_ERROR_MAX]);
/* 1 if the loader finds `name`, 0 if not.  Loads and unloads it. */
int shim_can_load(const char *name);
/* Calls simxen_set_host(directory) of a loaded libsimxen; its return value, or
 * -1 with errno ENOSYS when the library has no such function. */
int shim_set_simxen_host(struct shim_library *library, const char *directory);
/* Bytes that simxen_spliced() of a loaded libsimxen tells; 0 when the library has none. */
uint64_t shim_spliced(const struct shim_library *library);

/* ---- logging ---- */

struct shim_sink {
    /* `context` and `text` are never NULL and valid during the call only. */
    void (*log)(int level, int errnoval, const char *context, const char *text);
    void (*progress)(const char *context, const char *doing_what,
                     unsigned long done, unsigned long total);
};

/* To be called once, before the first shim_interface_open. */
void shim_set_sink(const struct shim_sink *sink);
xentoollog_logger *shim_logger(void);

/* ---- calls: results and errno as libxc's ---- */

xc_interface *shim_interface_open(const struct shim_library *library);
int shim_interface_close(const struct shim_library *library, xc_interface *xch);
int shim_domain_save(const struct shim_library *library, xc_interface *xch, int io_fd,
                     uint32_t domid, uint32_t flags, struct save_callbacks *callbacks,
                     int stream_type, int recv_fd);

struct shim_restore_arguments {
    int io_fd;
    uint32_t domid;
    uint32_t store_evtchn, store_domid;
    uint32_t console_evtchn, console_domid;
    int stream_type;
    int send_back_fd;
};
int shim_domain_restore(const struct shim_library *library, xc_interface *xch,
                        const struct shim_restore_arguments *arguments,
                        struct restore_callbacks *callbacks, unsigned long *store_gfn,
                        unsigned long *console_gfn);

/* The first domain with an id >= `first`: 1, 0 if there is none, -1 on error. */
int shim_domain_info(const struct shim_library *library, xc_interface *xch,
                     uint32_t first, struct xen_domctl_getdomaininfo *info);
/* What this Xen can do (XEN_SYSCTL_PHYSCAP_* bits): 0, or -1 on error. */
int shim_capabilities(const struct shim_library *library, xc_interface *xch,
                      uint32_t *capabilities);
/* Memory that no domain has, what is claimed of it included: 0, or -1 on error. */
int shim_free_memory(const struct shim_library *library, xc_interface *xch,
                     uint64_t *bytes);
/* The options that Xen was booted with: 0, or -1 on error. */
int shim_command_line(const struct shim_library *library, xc_interface *xch,
                      char text[SHIM_COMMAND_LINE_MAX]);
/* Sets `pages` aside for a domain, those that it has counted; 0: none any more. */
int shim_domain_claim(const struct shim_library *library, xc_interface *xch,
                      uint32_t domid, unsigned long pages);
/* One of HVM_PARAM_* of a domain that is no PV domain: 0, or -1 on error. */
int shim_hvm_param(const struct shim_library *library, xc_interface *xch, uint32_t domid,
                   uint32_t param, uint64_t *value);
int shim_domain_pause(const struct shim_library *library, xc_interface *xch,
                      uint32_t domid);
int shim_domain_unpause(const struct shim_library *library, xc_interface *xch,
                        uint32_t domid);
int shim_domain_shutdown(const struct shim_library *library, xc_interface *xch,
                         uint32_t domid, int reason);
int shim_domain_resume(const struct shim_library *library, xc_interface *xch,
                       uint32_t domid, int fast);
int shim_domain_destroy(const struct shim_library *library, xc_interface *xch,
                        uint32_t domid);
int shim_logdirty_on(const struct shim_library *library, xc_interface *xch,
                     uint32_t domid);
/* How many pages are logged as dirty, which stay so: 0, or -1 on error. */
int shim_dirty_count(const struct shim_library *library, xc_interface *xch,
                     uint32_t domid, uint32_t *pages);
int shim_logdirty_off(const struct shim_library *library, xc_interface *xch,
                      uint32_t domid);

/* ---- process ---- */

/* Death signal of the parent, no new privileges, no core dump.  0 or -1 + errno. */
int shim_harden(int parent_death_signal);

/* No core, nor one of what this process becomes by execve.  0 or -1 + errno. */
int shim_no_core(void);

/* ---- abort ----
 *
 * A thread inside libxc's write loop leaves it only if its system call fails with
 * something else than EINTR.  So: put a descriptor that fails with EBADF in place
 * of the stream, then make the blocked call look again, by a signal whose handler
 * does nothing but was installed without SA_RESTART.
 */

/* Installs the handler of the kick signal, blocks all other signals (faults
 * excepted) in the calling thread and those it starts later.  Returns a signalfd of
 * SIGTERM, SIGINT and SIGHUP, or -1 + errno. */
int shim_take_signals(int kick_signal);

#endif
