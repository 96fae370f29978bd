/* SPDX-License-Identifier: Apache-2.0 */
/* A switch whose links have a delay, for kernels without netem:
 * `relay DELAY_US RATE LIMIT NAMESPACE...`.
 *
 * Makes a TAP device eth0 in each network namespace (a path, as /run/netns/x) and carries the frames
 * between them. A frame to host i, at the address 02:53:47:50:00:(i + 1), or to all hosts arrives
 * DELAY_US microseconds later, plus its time on a link of RATE bits per second (0: no limit). A frame
 * that would wait for that link behind more than LIMIT bytes is dropped, as by a switch.
 *
 * Says "ready" on standard output when the devices are there, and goes on until standard input ends.
 * "down 2" there pulls the cable of host 2, "up 2" plugs it in again; "deaf 2": host 2 gets nothing, but
 * is heard; "mute 2": it is not heard, but gets everything. Each is answered by a line.
 * The kernel hands over segments of up to 64 KiB uncut, as to a network card that cuts them (vnet
 * header, offloads): ten times the frames that it could carry otherwise. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_PORTS = 200,
    FRAME_BYTES = 68 << 10, /* a whole IP packet, its headers and the vnet header */
    FRAMES = 1 << 14,       /* under way; memory is touched only as it is used */
    TURN = 64,              /* frames read from one port before the others have their turn */
};

/* In a list: of a port's frames in the order in which they are due, or of those that are free. */
typedef struct frame {
    struct frame *next;
    uint64_t due;
    size_t bytes;
    unsigned char *data; /* (FRAME_BYTES): vnet header, frame */
} frame_t;

typedef struct port {
    int device;
    bool deaf, mute;  /* nothing gets to the host, nothing gets from it */
    uint64_t free_at; /* when its link has sent what is queued */
    frame_t *first, **last;
} port_t;

typedef struct relay {
    uint64_t delay;     /* ns */
    double ns_per_byte; /* 0: no limit */
    uint64_t longest;   /* ns that a frame may wait for its link */
    int ports;
    port_t port[MOST_PORTS];
    frame_t *unused;
    uint64_t frames, bytes, dropped, latest;
} relay_t;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* ---- devices ---- */

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return -1;
}

static int enter(const char *namespace) {
    int of = open(namespace, O_RDONLY | O_CLOEXEC);
    if (of < 0) return fail(namespace);
    int result = setns(of, CLONE_NEWNET);
    close(of);
    return result == 0 ? 0 : fail(namespace);
}

/* A device belongs to the namespace in which it was made. */
static int make_device(const char *namespace) {
    if (enter(namespace) != 0) return -1;
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0) return fail("/dev/net/tun");
    struct ifreq wanted = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    memcpy(wanted.ifr_name, "eth0", sizeof "eth0");
    if (ioctl(device, TUNSETIFF, &wanted) != 0) return fail("TUNSETIFF");
    if (ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0)
        return fail("TUNSETOFFLOAD");
    return device;
}

/* The devices stay in their namespaces. This program leaves them, so it is not among the processes
 * that run there. */
static int make_ports(relay_t *relay, int count, char **namespaces) {
    char home[64];
    int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (here < 0) return fail("/proc/self/ns/net");
    snprintf(home, sizeof home, "/proc/self/fd/%d", here);
    for (int i = 0; i < count; i++) {
        port_t *port = &relay->port[i];
        port->device = make_device(namespaces[i]);
        if (port->device < 0) return -1;
        port->last = &port->first;
        relay->ports++;
    }
    return enter(home);
}

static int make_frames(relay_t *relay) {
    unsigned char *data = mmap(NULL, (size_t)FRAMES * FRAME_BYTES, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    frame_t *frames = calloc(FRAMES, sizeof *frames);
    if (data == MAP_FAILED || !frames) return fail("memory");
    for (size_t i = 0; i < FRAMES; i++) {
        frames[i].data = data + i * FRAME_BYTES;
        frames[i].next = i + 1 < FRAMES ? &frames[i + 1] : NULL;
    }
    relay->unused = frames;
    return 0;
}

/* ---- frames ---- */

static frame_t *take(relay_t *relay) {
    frame_t *frame = relay->unused;
    if (frame) relay->unused = frame->next;
    return frame;
}

static void give_back(relay_t *relay, frame_t *frame) {
    frame->next = relay->unused;
    relay->unused = frame;
}

/* Bytes on the wire: a frame that is cut has its headers in each piece. */
static size_t wire_bytes(const frame_t *frame) {
    struct virtio_net_hdr header;
    memcpy(&header, frame->data, sizeof header);
    size_t bytes = frame->bytes - sizeof header;
    if (header.gso_type == VIRTIO_NET_HDR_GSO_NONE || !header.gso_size || header.hdr_len >= bytes)
        return bytes;
    size_t payload = bytes - header.hdr_len;
    return payload + (payload + header.gso_size - 1) / header.gso_size * header.hdr_len;
}

/* Takes the frame. One port's frames become due in the order in which they were queued. */
static void queue(relay_t *relay, port_t *port, frame_t *frame, uint64_t time) {
    uint64_t there = time + relay->delay;
    uint64_t start = port->free_at > there ? port->free_at : there;
    if (port->deaf || start - there > relay->longest) {
        relay->dropped++;
        give_back(relay, frame);
        return;
    }
    port->free_at = start + (uint64_t)((double)wire_bytes(frame) * relay->ns_per_byte);
    frame->due = port->free_at;
    frame->next = NULL;
    *port->last = frame;
    port->last = &frame->next;
}

static void queue_for_all(relay_t *relay, int from, const frame_t *frame, uint64_t time) {
    for (int i = 0; i < relay->ports; i++) {
        frame_t *copy = i == from ? NULL : take(relay);
        if (!copy) continue;
        memcpy(copy->data, frame->data, frame->bytes);
        copy->bytes = frame->bytes;
        queue(relay, &relay->port[i], copy, time);
    }
}

/* Takes the frame. */
static void route(relay_t *relay, int from, frame_t *frame, uint64_t time) {
    static const unsigned char ours[] = {0x02, 0x53, 0x47, 0x50, 0x00};
    const unsigned char *to = frame->data + sizeof(struct virtio_net_hdr);
    if (!(to[0] & 1) && !memcmp(to, ours, sizeof ours) && to[5] >= 1 && to[5] <= relay->ports) {
        queue(relay, &relay->port[to[5] - 1], frame, time);
        return;
    }
    if (to[0] & 1) queue_for_all(relay, from, frame, time);
    give_back(relay, frame);
}

static void read_port(relay_t *relay, int from) {
    uint64_t time = now();
    for (int i = 0; i < TURN; i++) {
        frame_t *frame = take(relay);
        if (!frame) return; /* the device's own queue holds what comes */
        ssize_t bytes = read(relay->port[from].device, frame->data, FRAME_BYTES);
        if (bytes < (ssize_t)sizeof(struct virtio_net_hdr) + 14) {
            give_back(relay, frame);
            return;
        }
        frame->bytes = (size_t)bytes;
        relay->frames++;
        relay->bytes += frame->bytes;
        if (relay->port[from].mute) give_back(relay, frame);
        else route(relay, from, frame, time);
    }
}

/* Delivers what is due, and returns when the next one is. */
static uint64_t deliver(relay_t *relay) {
    uint64_t next = UINT64_MAX, time = now();
    for (int i = 0; i < relay->ports; i++) {
        port_t *port = &relay->port[i];
        while (port->first && port->first->due <= time) {
            frame_t *frame = port->first;
            port->first = frame->next;
            if (!port->first) port->last = &port->first;
            if (time - frame->due > relay->latest) relay->latest = time - frame->due;
            /* A device that is down takes nothing: the frame is lost, as on a cable. */
            if (write(port->device, frame->data, frame->bytes) < 0) relay->dropped++;
            give_back(relay, frame);
        }
        if (port->first && port->first->due < next) next = port->first->due;
    }
    return next;
}

static bool sleep_until(relay_t *relay, struct pollfd *poll_for, uint64_t next) {
    uint64_t time = now();
    uint64_t left = next > time ? next - time : 0;
    struct timespec limit = {.tv_sec = (time_t)(left / 1000000000),
                             .tv_nsec = (long)(left % 1000000000)};
    int ready = ppoll(poll_for, (nfds_t)relay->ports + 1, next == UINT64_MAX ? NULL : &limit, NULL);
    return ready >= 0 || errno == EINTR;
}

/* One line of standard input. false: it has ended. */
static bool obey(relay_t *relay) {
    char line[64];
    ssize_t bytes = read(STDIN_FILENO, line, sizeof line - 1);
    if (bytes <= 0) return false;
    line[bytes] = 0;
    char what[8];
    int port;
    if (sscanf(line, "%7s %d", what, &port) != 2 || port < 0 || port >= relay->ports) return false;
    bool down = !strcmp(what, "down");
    relay->port[port].deaf = down || !strcmp(what, "deaf");
    relay->port[port].mute = down || !strcmp(what, "mute");
    printf("done\n");
    fflush(stdout);
    return true;
}

static void carry(relay_t *relay) {
    struct pollfd poll_for[MOST_PORTS + 1];
    for (int i = 0; i < relay->ports; i++)
        poll_for[i] = (struct pollfd){.fd = relay->port[i].device, .events = POLLIN};
    poll_for[relay->ports] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    while (sleep_until(relay, poll_for, deliver(relay))) {
        if (poll_for[relay->ports].revents && !obey(relay)) return;
        for (int i = 0; i < relay->ports; i++)
            if (poll_for[i].revents & POLLIN) read_port(relay, i);
    }
}

static int usage(void) {
    fprintf(stderr, "usage: relay DELAY_US RATE LIMIT NAMESPACE...\n");
    return 2;
}

int main(int argc, char **argv) {
    static relay_t relay;
    if (argc < 5 || argc - 4 > MOST_PORTS) return usage();
    double rate = atof(argv[2]), limit = atof(argv[3]);
    relay.delay = strtoull(argv[1], NULL, 10) * 1000;
    relay.ns_per_byte = rate > 0 ? 8e9 / rate : 0;
    relay.longest = rate > 0 ? (uint64_t)(limit * relay.ns_per_byte) : UINT64_MAX;
    if (make_ports(&relay, argc - 4, argv + 4) != 0 || make_frames(&relay) != 0) return 1;
    prctl(PR_SET_TIMERSLACK, 1000);
    /* A switch does not wait for the hosts' programs. Where that is not allowed, it does. */
    (void)sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1});
    printf("ready\n");
    fflush(stdout);
    carry(&relay);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    fprintf(stderr, "frames %llu bytes %llu dropped %llu latest_us %llu cpu_ms %ld\n",
            (unsigned long long)relay.frames, (unsigned long long)relay.bytes,
            (unsigned long long)relay.dropped, (unsigned long long)relay.latest / 1000,
            (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
                (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000);
    return 0;
}
