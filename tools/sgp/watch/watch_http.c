/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/watch_http.h"

#include "base/clock.h"
#include "base/fork.h"
#include "net/socket.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { ADDRESSES = 8, PIECE = 65536, REQUEST = 2048 };

typedef struct call {
    const watch_http_request_t *request;
    uint64_t deadline;
    int socket;
    char *text; /* (room) of which `length` */
    size_t length, room;
    char *problem;
} call_t;

static watch_http_end_t say(const call_t *call, watch_http_end_t end, const char *why) {
    snprintf(call->problem, WATCH_PROBLEM, "%s: %s", call->request->address, why);
    return end;
}

/* Until the socket is ready for `events`. */
static watch_http_end_t wait_for(const call_t *call, short events) {
    const watch_http_request_t *request = call->request;
    struct pollfd descriptors[WATCH_HTTP_STOPS + 1] = {{.fd = call->socket, .events = events}};
    for (int i = 0; i < request->stop_count; i++)
        descriptors[i + 1] = (struct pollfd){.fd = request->stops[i], .events = POLLIN};
    for (;;) {
        uint64_t now = sgp_clock_now();
        if (now >= call->deadline) return say(call, WATCH_HTTP_NONE, "does not answer in time");
        int ms = (int)((call->deadline - now) / 1000000u) + 1;
        int ready = poll(descriptors, (nfds_t)request->stop_count + 1, ms);
        if (ready < 0 && errno != EINTR) return say(call, WATCH_HTTP_NONE, strerror(errno));
        for (int i = 1; ready > 0 && i <= request->stop_count; i++)
            if (descriptors[i].revents) return WATCH_HTTP_STOPPED;
        if (ready > 0 && descriptors[0].revents) return WATCH_HTTP_DONE;
    }
}

static watch_http_end_t connect_to(call_t *call, const sgp_address_t *address) {
    int error = 0;
    socklen_t size = sizeof error;
    call->socket = sgp_socket_make(address, -1);
    if (call->socket < 0) return say(call, WATCH_HTTP_NONE, strerror(errno));
    if (connect(call->socket, (const struct sockaddr *)&address->at, address->length) == 0)
        return WATCH_HTTP_DONE;
    if (errno != EINPROGRESS) error = errno;
    watch_http_end_t end = error ? WATCH_HTTP_DONE : wait_for(call, POLLOUT);
    if (end == WATCH_HTTP_DONE && !error)
        getsockopt(call->socket, SOL_SOCKET, SO_ERROR, &error, &size);
    if (end == WATCH_HTTP_DONE && error == 0) return end;
    if (end == WATCH_HTTP_DONE)
        end = say(call, WATCH_HTTP_NONE,
                  error == ECONNREFUSED ? "nobody listens there" : strerror(error));
    sgp_fork_close(call->socket);
    call->socket = -1;
    return end;
}

static int make_request(const watch_http_request_t *request, char text[REQUEST]) {
    char plain[WATCH_TOKEN + 8], code[sodium_base64_ENCODED_LEN(WATCH_TOKEN + 8, 1)];
    int length = snprintf(text, REQUEST,
                          "GET %s HTTP/1.0\r\nHost: %s\r\nAccept: application/json\r\n"
                          "Connection: close\r\n",
                          request->path, request->address);
    if (request->token) {
        snprintf(plain, sizeof plain, "sgp:%s", request->token);
        sodium_bin2base64(code, sizeof code, (const unsigned char *)plain, strlen(plain),
                          sodium_base64_VARIANT_ORIGINAL);
        length +=
            snprintf(text + length, REQUEST - (size_t)length, "Authorization: Basic %s\r\n", code);
    }
    return length + snprintf(text + length, REQUEST - (size_t)length, "\r\n");
}

static watch_http_end_t send_request(const call_t *call) {
    char text[REQUEST];
    const char *next = text;
    for (int left = make_request(call->request, text); left > 0;) {
        ssize_t sent = send(call->socket, next, (size_t)left, MSG_NOSIGNAL);
        if (sent >= 0) {
            next += sent;
            left -= (int)sent;
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return say(call, WATCH_HTTP_NONE, strerror(errno));
        watch_http_end_t end = wait_for(call, POLLOUT);
        if (end) return end;
    }
    return WATCH_HTTP_DONE;
}

static watch_http_end_t make_room(call_t *call) {
    if (call->length + PIECE < call->room) return WATCH_HTTP_DONE;
    size_t room = 2 * call->room + 2 * PIECE;
    char *more = room <= 2 * (size_t)WATCH_HTTP_MOST ? realloc(call->text, room) : NULL;
    if (!more) return say(call, WATCH_HTTP_OTHER, "its answer is too long");
    call->text = more;
    call->room = room;
    return WATCH_HTTP_DONE;
}

/* To the end of the connection. */
static watch_http_end_t receive(call_t *call) {
    for (;;) {
        watch_http_end_t end = make_room(call);
        if (end) return end;
        ssize_t got = recv(call->socket, call->text + call->length, PIECE, 0);
        if (got == 0) return WATCH_HTTP_DONE;
        if (got > 0) {
            call->length += (size_t)got;
            if (call->length > WATCH_HTTP_MOST)
                return say(call, WATCH_HTTP_OTHER, "its answer is too long");
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return say(call, WATCH_HTTP_NONE, strerror(errno));
        end = wait_for(call, POLLIN);
        if (end) return end;
    }
}

/* ---- the answer ---- */

/* The value of a header field among the lines from `at` to `end`; NULL: it is not there. */
static const char *field(const char *at, const char *end, const char *name, size_t *length) {
    size_t wanted = strlen(name);
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end) line_end = end;
        if ((size_t)(line_end - at) > wanted && strncasecmp(at, name, wanted) == 0 &&
            at[wanted] == ':') {
            const char *value = at + wanted + 1;
            while (value < line_end && (*value == ' ' || *value == '\t')) value++;
            const char *last = line_end;
            while (last > value && (last[-1] == '\r' || last[-1] == ' ')) last--;
            *length = (size_t)(last - value);
            return value;
        }
        at = line_end + 1;
    }
    return NULL;
}

/* After an empty line; NULL: there is none. */
static char *body_of(char *text, size_t length) {
    size_t most = length < WATCH_HTTP_HEAD_MOST ? length : WATCH_HTTP_HEAD_MOST;
    for (size_t i = 0; i + 1 < most; i++) {
        if (text[i] != '\n') continue;
        if (text[i + 1] == '\n') return text + i + 2;
        if (i + 2 < most && text[i + 1] == '\r' && text[i + 2] == '\n') return text + i + 3;
    }
    return NULL;
}

static bool is_status_line(const char *text, size_t length) {
    static const char digits[] = "0123456789";
    return length > 12 && memcmp(text, "HTTP/1.", 7) == 0 && strchr("01", text[7]) && text[7] &&
           text[8] == ' ' && strspn(text + 9, digits) == 3;
}

bool watch_http_parse(char *text, size_t length, watch_http_answer_t *answer) {
    size_t value_length;
    if (!is_status_line(text, length)) return false;
    char *body = body_of(text, length);
    if (!body) return false;
    *answer = (watch_http_answer_t){.status = atoi(text + 9),
                                    .text = text,
                                    .body = body,
                                    .length = length - (size_t)(body - text)};
    if (field(text, body, "Transfer-Encoding", &value_length) ||
        field(text, body, "Content-Encoding", &value_length))
        return false;
    const char *value = field(text, body, "Content-Length", &value_length);
    if (!value) return true;
    char *end;
    unsigned long long said = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || end != value + value_length || said > answer->length)
        return false;
    answer->length = (size_t)said;
    return true;
}

static watch_http_end_t talk(call_t *call, watch_http_answer_t *answer) {
    watch_http_end_t end = send_request(call);
    if (!end) end = receive(call);
    if (end) return end;
    call->text[call->length] = '\0';
    if (watch_http_parse(call->text, call->length, answer)) return WATCH_HTTP_DONE;
    return say(call, WATCH_HTTP_OTHER, "something listens there, but no status server of sgp");
}

watch_http_end_t watch_http_get(const watch_http_request_t *request, watch_http_answer_t *answer,
                                char problem[WATCH_PROBLEM]) {
    sgp_address_t addresses[ADDRESSES];
    int count = 0;
    call_t call = {.request = request,
                   .deadline = sgp_clock_now() + (uint64_t)WATCH_HTTP_SECONDS * 1000000000u,
                   .socket = -1,
                   .problem = problem};
    if (sgp_address_resolve(request->address, ADDRESSES, addresses, &count) != SGP_OK || !count)
        return say(&call, WATCH_HTTP_NONE, "no such host");
    watch_http_end_t end = WATCH_HTTP_NONE;
    for (int i = 0; i < count && end == WATCH_HTTP_NONE; i++)
        end = connect_to(&call, &addresses[i]);
    if (!end) end = talk(&call, answer);
    if (call.socket >= 0) sgp_fork_close(call.socket);
    if (end) free(call.text);
    return end;
}
