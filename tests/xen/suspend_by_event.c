/*
 * Runs in a guest: offers dom0 an event channel for suspend, as old PV kernels did, and
 * has its own kernel suspend whenever dom0 fires it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { DOM0 = 0, XS_WRITE = 11 };

/* Linux: include/uapi/xen/evtchn.h */
#define BIND_UNBOUND_PORT _IOC(_IOC_NONE, 'E', 2, sizeof(uint32_t))

struct message {
    uint32_t type, request, transaction, length;
    char payload[128];
};

static int fail(const char *what)
{
    fprintf(stderr, "suspend-by-event: %s: %s\n", what, strerror(errno));
    return 1;
}

static int write_node(int xenstore, const char *path, const char *value)
{
    struct message message = { .type = XS_WRITE };
    size_t head = offsetof(struct message, payload);
    ssize_t size;

    message.length = (uint32_t)(strlen(path) + 1 + strlen(value));
    if (message.length >= sizeof(message.payload))
        return -1;
    strcpy(message.payload, path);
    strcpy(message.payload + strlen(path) + 1, value);
    if (write(xenstore, &message, head + message.length) < 0)
        return -1;
    for (size = 0; size < (ssize_t)head || size < (ssize_t)(head + message.length);) {
        ssize_t got = read(xenstore, (char *)&message + size, sizeof(message) - size);

        if (got <= 0)
            return -1;
        size += got;
    }
    errno = EPERM;
    return message.type == XS_WRITE ? 0 : -1;
}

int main(void)
{
    uint32_t remote = DOM0, port;
    char text[16];
    int events = open("/dev/xen/evtchn", O_RDWR);
    int xenstore = open("/dev/xen/xenbus", O_RDWR);
    int offered;

    if (events < 0 || xenstore < 0)
        return fail("/dev/xen");
    offered = ioctl(events, BIND_UNBOUND_PORT, &remote);
    if (offered < 0)
        return fail("no port");
    snprintf(text, sizeof(text), "%d", offered);
    if (write_node(xenstore, "device/suspend/event-channel", text))
        return fail("port not offered");
    printf("suspend-by-event: port %d is offered\n", offered);
    fflush(stdout);
    while (read(events, &port, sizeof(port)) == sizeof(port)) {
        printf("suspend-by-event: asked by port %u\n", port);
        fflush(stdout);
        if (write_node(xenstore, "control/shutdown", "suspend"))
            return fail("kernel not told");
        if (write(events, &port, sizeof(port)) < 0)
            return fail("port not unmasked");
    }
    return fail("no event");
}
