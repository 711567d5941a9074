/*
 * A libxenlight that does what the configuration says.  The "JSON" is words: "wrong" is
 * refused, "fail" fails and leaves domain 9, "log" logs also from a child it forks,
 * "reads" has a save helper read for as long as no interface was added.  What was called is appended to the file "calls" in the working directory.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xenlight.h"

#define API __attribute__((visibility("default")))

struct libxl_ctx {
    xentoollog_logger *logger;
};
struct libxl_device_nic {
    char words[100];
};
struct libxl_domain_config {
    char words[1000];
};

API libxl_ctx_alloc_fn libxl_ctx_alloc;
API libxl_ctx_free_fn libxl_ctx_free;
API libxl_domain_config_init_fn libxl_domain_config_init;
API libxl_domain_config_dispose_fn libxl_domain_config_dispose;
API libxl_domain_config_from_json_fn libxl_domain_config_from_json;
API libxl_domain_restore_params_init_fn libxl_domain_restore_params_init;
API libxl_domain_create_restore_fn libxl_domain_create_restore;
API libxl_domain_create_new_fn libxl_domain_create_new;
API libxl_domain_op_fn libxl_domain_unpause;
API libxl_domain_op_fn libxl_domain_destroy;
API libxl_domain_rename_fn libxl_domain_rename;
API libxl_device_nic_init_fn libxl_device_nic_init;
API libxl_device_nic_dispose_fn libxl_device_nic_dispose;
API libxl_device_nic_from_json_fn libxl_device_nic_from_json;
API libxl_device_nic_op_fn libxl_device_nic_add;
API libxl_device_nic_op_fn libxl_device_nic_destroy;
API libxl_userdata_store_fn libxl_userdata_store;
API libxl_userdata_retrieve_fn libxl_userdata_retrieve;
API libxl_domain_core_dump_fn libxl_domain_core_dump;
API libxl_evenable_domain_death_fn libxl_evenable_domain_death;
API libxl_event_wait_fn libxl_event_wait;
API libxl_event_free_fn libxl_event_free;

static int record(const char *name, uint32_t domid, const char *more)
{
    FILE *file = fopen("calls", "a");

    fprintf(file, "%s %d %s\n", name, (int)domid, more);
    return fclose(file);
}

static void say(libxl_ctx *ctx, int level, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    ctx->logger->vmessage(ctx->logger, (xentoollog_level)level, -1, "libxl", format,
                          arguments);
    va_end(arguments);
}

int libxl_ctx_alloc(libxl_ctx **ctx, int version, unsigned flags,
                    xentoollog_logger *logger)
{
    if (version || flags)
        return -2;
    *ctx = malloc(sizeof(**ctx));
    (*ctx)->logger = logger;
    return 0;
}

int libxl_ctx_free(libxl_ctx *ctx)
{
    free(ctx);
    return 0;
}

void libxl_domain_config_init(libxl_domain_config *config)
{
    memset(config, 0, sizeof(*config));
}

void libxl_domain_config_dispose(libxl_domain_config *config)
{
    record("dispose", 0, config->words);
}

int libxl_domain_config_from_json(libxl_ctx *ctx, libxl_domain_config *config,
                                  const char *json)
{
    (void)ctx;
    snprintf(config->words, sizeof(config->words), "%s", json);
    return strstr(json, "wrong") ? -6 : 0;
}

void libxl_domain_restore_params_init(libxl_domain_restore_params *params)
{
    ((struct xenlight_params *)params)->stream_version = 1;
}

static void log_twice(libxl_ctx *ctx)
{
    static char longest[5000];
    pid_t child = fork();

    say(ctx, XTL_ERROR, "%s by %d", "said", 1);
    if (!child) {
        say(ctx, XTL_WARN, "said by a child");
        _exit(0);
    }
    waitpid(child, NULL, 0);
    say(ctx, XTL_DEBUG, "not worth it");
    memset(longest, 'x', sizeof(longest) - 1);
    say(ctx, XTL_ERROR, "%s", longest);
    for (int i = 0; i < 1000; i++)
        say(ctx, XTL_INFO, "%s", longest); /* more than the pipe takes */
}

static char stored[1000];

static void read_memory(void)
{
    static const char *const until = "until grep -q add-nic calls; do sleep 0.01; done";
    int status;
    pid_t child = fork();

    if (!child) {
        execlp("sh", "sh", "-c", until, "--restore-domain", "3", "-1", "9", NULL);
        _exit(1);
    }
    waitpid(child, &status, 0);
}

static int create(const char *how, libxl_ctx *ctx, const char *words, uint32_t *domid)
{
    record(how, 0, words);
    if (strstr(words, "log"))
        log_twice(ctx);
    if (strstr(words, "reads"))
        read_memory();
    snprintf(stored, sizeof(stored), "%s", words);
    *domid = strstr(words, "none") ? ~0u : 9;
    return strstr(words, "fail") ? -3 : 0;
}

int libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *config,
                                uint32_t *domid, int restore_fd, int send_back_fd,
                                const libxl_domain_restore_params *params,
                                const libxl_asyncop_how *ao_how,
                                const libxl_asyncprogress_how *console_how)
{
    const struct xenlight_params *front = (const struct xenlight_params *)params;

    if (restore_fd != 77 || send_back_fd != -1 || ao_how || console_how ||
        front->stream_version != 2 || front->checkpointed_stream >> 1)
        abort();
    return create(front->checkpointed_stream ? "remus" : "restore", ctx, config->words,
                  domid);
}

int libxl_domain_create_new(libxl_ctx *ctx, libxl_domain_config *config,
                            uint32_t *domid, const libxl_asyncop_how *ao_how,
                            const libxl_asyncprogress_how *console_how)
{
    if (ao_how || console_how)
        abort();
    return create("new", ctx, config->words, domid);
}

int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
    (void)ctx;
    (void)how;
    record("unpause", domid, "");
    return access("can't run", F_OK) ? 0 : -3;
}

int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
    (void)ctx;
    (void)how;
    record("destroy", domid, "");
    return domid == 9 ? 0 : -21;
}

int libxl_domain_rename(libxl_ctx *ctx, uint32_t domid, const char *old_name,
                        const char *new_name)
{
    (void)ctx;
    record("rename-from", domid, old_name);
    return record("rename-to", domid, new_name);
}

int libxl_domain_core_dump(libxl_ctx *ctx, uint32_t domid, const char *filename,
                           const libxl_asyncop_how *how)
{
    (void)ctx;
    (void)how;
    return record("dump", domid, filename);
}

int libxl_evenable_domain_death(libxl_ctx *ctx, uint32_t domid, libxl_ev_user user,
                                libxl_evgen_domain_death **evgen)
{
    (void)ctx;
    (void)user;
    (void)evgen;
    return record("watch", domid, "");
}

void libxl_device_nic_init(libxl_device_nic *nic)
{
    memset(nic, 0, sizeof(*nic));
}

void libxl_device_nic_dispose(libxl_device_nic *nic)
{
    (void)nic;
}

int libxl_device_nic_from_json(libxl_ctx *ctx, libxl_device_nic *nic, const char *json)
{
    (void)ctx;
    snprintf(nic->words, sizeof(nic->words), "%s", json);
    return 0;
}

int libxl_device_nic_add(libxl_ctx *ctx, uint32_t domid, libxl_device_nic *nic,
                         const libxl_asyncop_how *how)
{
    (void)ctx;
    (void)how;
    record("add-nic", domid, nic->words);
    return strstr(nic->words, "no script") ? -3 : 0;
}

int libxl_device_nic_destroy(libxl_ctx *ctx, uint32_t domid, libxl_device_nic *nic,
                             const libxl_asyncop_how *how)
{
    (void)ctx;
    (void)how;
    return record("remove-nic", domid, nic->words);
}

int libxl_userdata_store(libxl_ctx *ctx, uint32_t domid, const char *userid,
                         const uint8_t *data, int size)
{
    (void)ctx;
    if (strcmp(userid, "libxl-json") || size < 1 || data[size - 1])
        abort();
    snprintf(stored, sizeof(stored), "%s", (const char *)data);
    return record("store", domid, stored);
}

int libxl_userdata_retrieve(libxl_ctx *ctx, uint32_t domid, const char *userid,
                            uint8_t **data, int *size)
{
    (void)ctx;
    (void)domid;
    (void)userid;
    *data = (uint8_t *)strdup(stored);
    *size = (int)strlen(stored) + 1;
    return 0;
}

/* The file "events" has "domid type reason" lines; each wait takes the next. */
int libxl_event_wait(libxl_ctx *ctx, libxl_event **event, uint64_t typemask,
                     libxl_event_predicate *predicate, void *user)
{
    static FILE *file;
    struct xenlight_event_front *front = calloc(1, 256);
    int reason;

    (void)ctx;
    if (typemask != 6 || predicate || user)
        abort();
    if (!file)
        file = fopen("events", "r");
    if (!file || fscanf(file, "%u %d %d", &front->domid, &front->type, &reason) != 3) {
        free(front);
        return -3;
    }
    front->shutdown_reason = (uint8_t)reason;
    *event = (libxl_event *)front;
    return 0;
}

void libxl_event_free(libxl_ctx *ctx, libxl_event *event)
{
    (void)ctx;
    free(event);
}
