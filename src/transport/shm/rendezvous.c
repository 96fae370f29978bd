/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/rendezvous.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/fork.h"
#include "base/logging.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The first bytes in either direction, together with the file of the sender's region. Same machine,
 * same byte order. */
typedef struct hello {
    uint32_t magic;
    uint32_t version;
    int32_t rank;
    int32_t size;
    int32_t capacity; /* by which the regions are laid out */
    int32_t reserved;
    uint64_t chunk_bytes;
} hello_t;

#define MAGIC    0x53475053u
#define VERSION  5
#define RETRY_MS 10 /* between two attempts to reach a node that does not listen yet */

typedef struct meeting {
    const sgp_rendezvous_t *at;
    const sgp_region_t *own;
    sgp_slots_peer_t *peers;
    int rank, size;
    uint64_t deadline; /* nanoseconds of CLOCK_MONOTONIC */
    int directory;     /* open; sockets are named through it, since a name has 107 bytes at most */
    int listener;
} meeting_t;

static bool is_local(const meeting_t *meeting, int rank) {
    return !meeting->at->local || meeting->at->local[rank];
}

static int milliseconds_left(const meeting_t *meeting) {
    uint64_t at = sgp_clock_now();
    return at < meeting->deadline
               ? (int)((meeting->deadline - at + SGP_MILLISECOND - 1) / SGP_MILLISECOND)
               : 0;
}

static struct sockaddr_un address_of(const meeting_t *meeting, int rank) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/node-%d",
             meeting->directory, rank);
    return address;
}

/* Closed in forked children. -1: see errno. */
static int make_socket(int flags) {
    sgp_fork_hold();
    int made = sgp_fork_mark(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
    sgp_fork_release();
    return made;
}

/* The listener does not block, so this holds forks off for a moment only. */
static int accept_socket(int listener) {
    sgp_fork_hold();
    int made = sgp_fork_mark(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    sgp_fork_release();
    return made;
}

static sgp_status_t listen_here(meeting_t *meeting) {
    struct sockaddr_un address = address_of(meeting, meeting->rank);
    meeting->listener = make_socket(SOCK_NONBLOCK);
    if (meeting->listener < 0) return sgp_fail(SGP_ERR_SYSTEM, "shm: socket: %s", strerror(errno));
    if (bind(meeting->listener, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno == EADDRINUSE)
            return sgp_fail(SGP_ERR_INVALID,
                            "rank %d is taken in %s: two nodes claim one rank, or the directory "
                            "is left from another run",
                            meeting->rank, meeting->at->directory);
        return sgp_fail(SGP_ERR_SYSTEM, "cannot make a socket in %s: %s", meeting->at->directory,
                        strerror(errno));
    }
    if (listen(meeting->listener, meeting->size) != 0)
        return sgp_fail(SGP_ERR_SYSTEM, "shm: listen: %s", strerror(errno));
    return SGP_OK;
}

static bool send_hello(const meeting_t *meeting, int socket) {
    hello_t hello = {.magic = MAGIC,
                     .version = VERSION,
                     .rank = meeting->rank,
                     .size = meeting->size,
                     .capacity = meeting->own->size,
                     .chunk_bytes = meeting->own->chunk_bytes};
    struct iovec part = {.iov_base = &hello, .iov_len = sizeof hello};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &meeting->own->file, sizeof(int));
    return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)sizeof hello;
}

/* A few bytes sent at once over a local stream arrive at once. *file: -1, or a descriptor that the
 * caller closes. */
static bool receive_hello(const meeting_t *meeting, int socket, hello_t *hello, int *file) {
    *file = -1;
    struct pollfd readable = {.fd = socket, .events = POLLIN};
    if (poll(&readable, 1, milliseconds_left(meeting)) != 1) return false;
    struct iovec part = {.iov_base = hello, .iov_len = sizeof *hello};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (rights && rights->cmsg_type == SCM_RIGHTS) memcpy(file, CMSG_DATA(rights), sizeof(int));
    return got == (ssize_t)sizeof *hello;
}

/* rank: the one that was called, or -1 for any higher one. */
static sgp_status_t check_hello(const meeting_t *meeting, const hello_t *hello, int rank) {
    if (hello->magic != MAGIC || hello->version != VERSION)
        return sgp_fail(SGP_ERR_MISMATCH, "a node in %s runs another version of sgp",
                        meeting->at->directory);
    if (hello->size != meeting->size)
        return sgp_fail(SGP_ERR_MISMATCH, "node %d counts %d nodes and node %d counts %d",
                        hello->rank, hello->size, meeting->rank, meeting->size);
    if (hello->capacity != meeting->own->size)
        return sgp_fail(SGP_ERR_MISMATCH, "node %d has room for %d nodes and node %d for %d",
                        hello->rank, hello->capacity, meeting->rank, meeting->own->size);
    if (hello->chunk_bytes != meeting->own->chunk_bytes)
        return sgp_fail(SGP_ERR_MISMATCH, "node %d and node %d differ in their chunk size",
                        hello->rank, meeting->rank);
    bool expected = rank >= 0 ? hello->rank == rank
                              : hello->rank > meeting->rank && hello->rank < meeting->size &&
                                    is_local(meeting, hello->rank);
    if (!expected || meeting->at->sockets[hello->rank] >= 0)
        return sgp_fail(SGP_ERR_MISMATCH, "a second node claims rank %d", hello->rank);
    return SGP_OK;
}

/* Exchanges hellos and maps the other's region. Takes the socket in every case. */
static sgp_status_t shake_hands(meeting_t *meeting, int socket, int rank) {
    hello_t hello = {0};
    int file = -1;
    sgp_status_t status = SGP_ERR_SYSTEM;
    if (!send_hello(meeting, socket) || !receive_hello(meeting, socket, &hello, &file))
        sgp_fail(status, "a node in %s ended while the nodes were meeting", meeting->at->directory);
    else status = check_hello(meeting, &hello, rank);
    if (status == SGP_OK)
        status = sgp_region_map(file, hello.capacity, hello.chunk_bytes,
                                &meeting->peers[hello.rank].region);
    if (status != SGP_OK) {
        if (file >= 0) close(file);
        sgp_fork_close(socket);
        return status;
    }
    meeting->at->sockets[hello.rank] = socket;
    return SGP_OK;
}

static sgp_status_t did_not_come(const meeting_t *meeting, int rank) {
    return sgp_fail(SGP_ERR_TIMEOUT, "node %d of %d did not come within %d ms", rank, meeting->size,
                    meeting->at->timeout_ms);
}

static sgp_status_t call_lower(meeting_t *meeting, int rank) {
    struct sockaddr_un address = address_of(meeting, rank);
    for (;;) {
        int made = make_socket(0);
        if (made < 0) return sgp_fail(SGP_ERR_SYSTEM, "shm: socket: %s", strerror(errno));
        if (connect(made, (struct sockaddr *)&address, sizeof address) == 0)
            return shake_hands(meeting, made, rank);
        int error = errno;
        sgp_fork_close(made);
        if (error != ENOENT && error != ECONNREFUSED && error != EAGAIN)
            return sgp_fail(SGP_ERR_SYSTEM, "cannot reach node %d in %s: %s", rank,
                            meeting->at->directory, strerror(error));
        if (milliseconds_left(meeting) == 0) return did_not_come(meeting, rank);
        poll(NULL, 0, RETRY_MS);
    }
}

static int first_missing(const meeting_t *meeting) {
    int rank = meeting->rank + 1;
    while (rank < meeting->size && (meeting->at->sockets[rank] >= 0 || !is_local(meeting, rank)))
        rank++;
    return rank;
}

static sgp_status_t answer_higher(meeting_t *meeting) {
    for (int rank; (rank = first_missing(meeting)) < meeting->size;) {
        struct pollfd readable = {.fd = meeting->listener, .events = POLLIN};
        int ready = poll(&readable, 1, milliseconds_left(meeting));
        if (ready < 0 && errno == EINTR) continue;
        if (ready != 1) return did_not_come(meeting, rank);
        int made = accept_socket(meeting->listener);
        if (made < 0) continue;
        sgp_status_t status = shake_hands(meeting, made, -1);
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}

static void stop_listening(meeting_t *meeting, bool named) {
    char name[32];
    snprintf(name, sizeof name, "node-%d", meeting->rank);
    if (named) unlinkat(meeting->directory, name, 0);
    sgp_fork_close(meeting->listener);
}

sgp_status_t sgp_rendezvous_meet(const sgp_rendezvous_t *rendezvous) {
    sgp_slots_t *slots = rendezvous->slots;
    meeting_t meeting = {.at = rendezvous,
                         .own = &slots->own,
                         .peers = slots->peers,
                         .rank = slots->transport.rank,
                         .size = slots->transport.size,
                         .listener = -1};
    meeting.deadline = sgp_clock_now() + (uint64_t)rendezvous->timeout_ms * SGP_MILLISECOND;
    meeting.directory = open(rendezvous->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (meeting.directory < 0)
        return sgp_fail(SGP_ERR_INVALID, "rendezvous directory %s: %s", rendezvous->directory,
                        strerror(errno));
    sgp_status_t status = listen_here(&meeting);
    bool named = status == SGP_OK;
    for (int rank = 0; rank < meeting.rank && status == SGP_OK; rank++)
        if (is_local(&meeting, rank)) status = call_lower(&meeting, rank);
    if (status == SGP_OK) status = answer_higher(&meeting);
    stop_listening(&meeting, named);
    close(meeting.directory);
    return status;
}
