/*
 * Runs in a guest: sends numbered frames by its interface, of IPv4, IPv6 and ARP in
 * turn, as `line.frame` in line.py has them. The number is in the guest's memory: a
 * guest that is set back says again what it has said.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { KINDS = 3, FRAME_MAX = 80, UDP = 17, TTL = 64, ECHO = 9, EVERY_MS = 20 };

static const unsigned char sender[] = { 0x02, 0x00, 0x78, 0x6c, 0x70, 0x79 };

static unsigned char *put(unsigned char *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}

static unsigned char *put16(unsigned char *at, uint16_t value)
{
    value = htons(value);
    return put(at, &value, sizeof(value));
}

static unsigned char *put_udp(unsigned char *at)
{
    at = put16(put16(at, ECHO), ECHO);
    return put16(put16(at, 12), 0);
}

static size_t frame(unsigned char *frame, uint32_t number)
{
    unsigned char *at = frame;
    uint32_t marked = htonl(number);

    memset(frame, 0, FRAME_MAX);
    memset(at, 0xff, sizeof(sender));
    at = put(at + sizeof(sender), sender, sizeof(sender));
    switch (number % KINDS) {
    case 0:
        at = put16(at, ETHERTYPE_IP);
        at[0] = 0x45;
        at[3] = 32;
        at[8] = TTL;
        at[9] = UDP;
        at = put_udp(at + 20);
        break;
    case 1:
        at = put16(at, ETHERTYPE_IPV6);
        at[0] = 6 << 4;
        at[5] = 12;
        at[6] = UDP;
        at[7] = TTL;
        at = put_udp(at + 40);
        break;
    default:
        at = put16(at, ETHERTYPE_ARP);
        at = put16(put16(at, 1), ETHERTYPE_IP);
        *at++ = 6;
        *at++ = 4;
        at = put16(at, 1);
        at = put(at, sender, sizeof(sender)) + 10;
    }
    at = put(at, &marked, sizeof(marked));
    return (size_t)(at - frame);
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000L * 1000 }, NULL);
}

/* Its driver is loaded behind us, and takes its time. */
static int interface(int packets)
{
    struct ifreq request = { .ifr_name = "eth0", .ifr_flags = IFF_UP };
    int index;

    while (!(index = (int)if_nametoindex("eth0")))
        pause_ms(100);
    return ioctl(packets, SIOCSIFFLAGS, &request) ? -1 : index;
}

int main(void)
{
    unsigned char data[FRAME_MAX];
    int packets = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll to = { .sll_family = AF_PACKET };

    if (packets < 0 || (to.sll_ifindex = interface(packets)) < 0) {
        fprintf(stderr, "send-numbered: %s\n", strerror(errno));
        return 1;
    }
    for (uint32_t number = 0;; pause_ms(EVERY_MS)) {
        size_t size = frame(data, number);

        /* No room, or no carrier: the same one again. */
        if (sendto(packets, data, size, 0, (void *)&to, sizeof(to)) == (ssize_t)size)
            number++;
    }
}
