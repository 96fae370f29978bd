/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/join_server.h"

#include "base/constants.h"
#include "base/clock.h"
#include "base/logging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_STRANGERS = 64, PATIENCE_S = 10 };

typedef enum guest_state {
    SHAKING,
    SHOWING, /* its card is coming */
    SEATED,  /* waits */
    READY,   /* has all cards and accepts no callers any more */
    GOING,   /* what is left to be said to it is being sent, then it is closed */
    GONE,
} guest_state_t;

struct sgp_guest {
    guest_state_t state;
    int socket;
    int order;      /* of arrival */
    uint64_t until; /* to be seated, or gone */
    sgp_address_t from;
    sgp_handshake_t handshake;
    unsigned char in[SGP_CARD_BYTES];
    size_t have;
    unsigned char *out; /* owned */
    size_t out_at, out_end;
    bool expected;   /* it was accepted, and has a seat */
    int rank;        /* claimed, and in the end given; -1: none yet */
    sgp_card_t card; /* from SEATED on */
};

/* ---- notes ---- */

static void put_4(unsigned char *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get_4(const unsigned char *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void sgp_note_encode(sgp_note_t note, size_t bytes, unsigned char header[SGP_NOTE_HEADER]) {
    put_4(header, note);
    put_4(header + 4, (uint32_t)bytes);
}

bool sgp_note_decode(const unsigned char header[SGP_NOTE_HEADER], size_t most, sgp_note_t *note,
                     size_t *bytes) {
    uint32_t kind = get_4(header), count = get_4(header + 4);
    if (kind < SGP_NOTE_SEATED || kind > SGP_NOTE_LAST || count > most) return false;
    *note = (sgp_note_t)kind;
    *bytes = count;
    return true;
}

/* ---- guests ---- */

static void see_off(sgp_hall_t *hall, sgp_guest_t *guest) {
    if (guest->state == GONE) return;
    if (guest->state == SEATED || guest->state == READY) hall->seated--;
    guest->state = GONE;
    close(guest->socket);
    sgp_handshake_fini(&guest->handshake);
    free(guest->out);
    guest->out = NULL;
    guest->out_at = guest->out_end = 0;
}

static bool stranger(const sgp_guest_t *guest) {
    return guest->state == SHAKING || guest->state == SHOWING || guest->state == GOING;
}

static void sweep(sgp_hall_t *hall) {
    int kept = 0;
    for (int i = 0; i < hall->count; i++) {
        if (hall->guests[i]->state == GONE) free(hall->guests[i]);
        else hall->guests[kept++] = hall->guests[i];
    }
    hall->count = kept;
}

/* Nothing is said while something still is to be: notes are few, and far between. */
static bool say(sgp_guest_t *guest, sgp_note_t note, const void *text, size_t bytes) {
    size_t left = guest->out_end - guest->out_at;
    unsigned char *out = malloc(left + SGP_NOTE_HEADER + bytes);
    if (!out) return false;
    if (left) memcpy(out, guest->out + guest->out_at, left);
    sgp_note_encode(note, bytes, out + left);
    if (bytes) memcpy(out + left + SGP_NOTE_HEADER, text, bytes);
    free(guest->out);
    guest->out = out;
    guest->out_at = 0;
    guest->out_end = left + SGP_NOTE_HEADER + bytes;
    return true;
}

static void say_last(sgp_hall_t *hall, sgp_guest_t *guest, sgp_note_t note, const void *text,
                     size_t bytes) {
    if (!say(guest, note, text, bytes)) {
        see_off(hall, guest);
        return;
    }
    if (guest->state == SEATED || guest->state == READY) hall->seated--;
    guest->state = GOING;
    guest->until = sgp_clock_now() + (uint64_t)PATIENCE_S * SGP_SECOND;
}

static void refuse(sgp_hall_t *hall, sgp_guest_t *guest, const char *why) {
    char reason[SGP_VERDICT_BYTES] = "", address[SGP_ADDRESS_TEXT];
    snprintf(reason, sizeof reason, "%s", why);
    sgp_log(SGP_LOG_WARNING, "refused %s: %s", sgp_address_text(&guest->from, address), reason);
    say_last(hall, guest, SGP_NOTE_REFUSED, reason, sizeof reason);
}

/* ---- judging ---- */

/* Who else has that rank: its address, or NULL. */
static const char *holder(const sgp_hall_t *hall, const sgp_guest_t *but, int rank,
                          char text[SGP_ADDRESS_TEXT]) {
    if (rank == hall->mine->rank) return "the process that founded the group";
    for (int i = 0; i < hall->count; i++) {
        const sgp_guest_t *guest = hall->guests[i];
        if (guest != but && guest->rank == rank && guest->state != GOING && guest->state != GONE)
            return sgp_address_text(&guest->from, text);
    }
    return NULL;
}

static int expected(const sgp_hall_t *hall) {
    int count = 1; /* ourselves */
    for (int i = 0; i < hall->count; i++) {
        const sgp_guest_t *guest = hall->guests[i];
        count += guest->expected && guest->state != GOING && guest->state != GONE;
    }
    return count;
}

static void judge_for_seat(sgp_hall_t *hall, sgp_guest_t *guest) {
    const sgp_card_t *mine = hall->mine;
    const sgp_hello_t *theirs = &guest->handshake.theirs;
    char text[SGP_ADDRESS_TEXT];
    const char *other;
    if (theirs->size != mine->size)
        sgp_handshake_refuse(&guest->handshake,
                             "it wants a group of %d processes, and this one is of %d",
                             theirs->size, mine->size);
    else if (theirs->rank < -1 || theirs->rank >= mine->size)
        sgp_handshake_refuse(&guest->handshake, "there is no rank %d in a group of %d",
                             theirs->rank, mine->size);
    else if (expected(hall) >= mine->size)
        sgp_handshake_refuse(&guest->handshake, "the group is full: all %d processes have come",
                             mine->size);
    else if (theirs->rank >= 0 && (other = holder(hall, guest, theirs->rank, text)))
        sgp_handshake_refuse(&guest->handshake, "rank %d is taken by %s", theirs->rank, other);
    else sgp_handshake_accept(&guest->handshake);
}

static void judge(sgp_hall_t *hall, sgp_guest_t *guest) {
    const sgp_meeting_t *meeting = hall->meeting;
    const sgp_hello_t *theirs = &guest->handshake.theirs;
    char address[SGP_ADDRESS_TEXT];
    if (!meeting->key && !meeting->insecure && !sgp_address_is_here(&guest->from))
        sgp_handshake_refuse(&guest->handshake,
                             "%s is another machine, and there is no key: give all nodes the same "
                             "--key-file, or --insecure",
                             sgp_address_text(&guest->from, address));
    else if (theirs->purpose != SGP_PURPOSE_JOIN)
        sgp_handshake_refuse(&guest->handshake, "the group has not begun");
    else if (theirs->fingerprint != hall->mine->fingerprint)
        sgp_handshake_refuse(&guest->handshake, "it belongs to another job");
    else if (strcmp(theirs->version, hall->mine->version) != 0)
        sgp_handshake_refuse(&guest->handshake, "it has sgp %s, and here is %s", theirs->version,
                             hall->mine->version);
    else if (hall->seats) judge_for_seat(hall, guest);
    else sgp_handshake_accept(&guest->handshake);
}

/* The port a member listens on is its own to say; the host is the one that it calls from, for that is
 * how it is reached. On this machine that may be one that only we can reach. */
static bool complete_address(const sgp_hall_t *hall, sgp_guest_t *guest) {
    char text[SGP_ADDRESS_TEXT], ours[SGP_ADDRESS_TEXT];
    sgp_address_t address;
    if (!guest->card.port) return sgp_address_parse(guest->card.address, &address) == SGP_OK;
    const char *from = sgp_address_text(&guest->from, text);
    bool loopback = strncmp(from, "127.", 4) == 0 || strncmp(from, "[::1]", 5) == 0;
    if (loopback && hall->mine->address[0]) {
        snprintf(ours, sizeof ours, "%s", hall->mine->address);
        from = ours;
    }
    int length = (int)(strrchr(from, ':') - from);
    snprintf(guest->card.address, sizeof guest->card.address, "%.*s:%d", length, from,
             guest->card.port);
    guest->card.port = 0;
    return true;
}

static void seat(sgp_hall_t *hall, sgp_guest_t *guest) {
    const sgp_card_t *mine = hall->mine;
    char why[SGP_VERDICT_BYTES];
    if (sgp_card_decode(guest->in, &guest->card) != SGP_OK || guest->card.size != mine->size ||
        guest->card.rank != guest->rank || !complete_address(hall, guest)) {
        refuse(hall, guest, "it has shown no card of this version of sgp");
        return;
    }
    if (guest->card.carrier != mine->carrier) {
        snprintf(why, sizeof why, "it has --transport %s, and here is %s",
                 sgp_carrier_name(guest->card.carrier), sgp_carrier_name(mine->carrier));
        refuse(hall, guest, why);
        return;
    }
    guest->state = SEATED;
    guest->order = ++hall->order;
    guest->have = 0;
    hall->seated++;
    char address[SGP_ADDRESS_TEXT];
    memcpy(address, hall->founder, sizeof address);
    if (!say(guest, SGP_NOTE_SEATED, address, sizeof address)) see_off(hall, guest);
}

/* ---- bytes ---- */

static void leaves(sgp_hall_t *hall, sgp_guest_t *guest) {
    char address[SGP_ADDRESS_TEXT];
    if (guest->state == SEATED || guest->state == READY)
        sgp_log(SGP_LOG_WARNING, "%s (%s) is gone again", sgp_address_text(&guest->from, address),
                guest->card.host);
    see_off(hall, guest);
}

static void flush(sgp_hall_t *hall, sgp_guest_t *guest) {
    while (guest->out_at < guest->out_end) {
        ssize_t sent = send(guest->socket, guest->out + guest->out_at,
                            guest->out_end - guest->out_at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) leaves(hall, guest);
        if (sent < 0) return;
        guest->out_at += (size_t)sent;
    }
    if (guest->state == GOING) see_off(hall, guest);
}

/* Bytes into place; false: none came, or the guest has left. */
static bool receive(sgp_hall_t *hall, sgp_guest_t *guest, void *place, size_t wanted, size_t *got) {
    ssize_t count = recv(guest->socket, place, wanted, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (count <= 0) {
        leaves(hall, guest);
        return false;
    }
    *got = (size_t)count;
    return true;
}

static void shaken(sgp_hall_t *hall, sgp_guest_t *guest) {
    if (hall->seats) {
        guest->state = SHOWING;
        guest->have = 0;
        return;
    }
    char address[SGP_ADDRESS_TEXT];
    memcpy(address, hall->founder, sizeof address);
    say_last(hall, guest, SGP_NOTE_ELSEWHERE, address, sizeof address);
}

static void refused(sgp_hall_t *hall, sgp_guest_t *guest) {
    char address[SGP_ADDRESS_TEXT];
    sgp_address_text(&guest->from, address);
    sgp_log(SGP_LOG_WARNING,
            guest->handshake.refused_by_them ? "%s called and refuses us: %s" : "refused %s: %s",
            address, guest->handshake.reason);
    see_off(hall, guest);
}

static bool send_handshake(sgp_hall_t *hall, sgp_guest_t *guest) {
    size_t bytes;
    for (const void *out; (out = sgp_handshake_pending(&guest->handshake, &bytes)), bytes;) {
        ssize_t sent = send(guest->socket, out, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) leaves(hall, guest);
        if (sent < 0) return false;
        sgp_handshake_sent(&guest->handshake, (size_t)sent);
    }
    return true;
}

static void shake(sgp_hall_t *hall, sgp_guest_t *guest) {
    for (;;) {
        size_t wanted, got;
        if (sgp_handshake_state(&guest->handshake) == SGP_HANDSHAKE_JUDGE) {
            judge(hall, guest);
            guest->expected = sgp_handshake_state(&guest->handshake) != SGP_HANDSHAKE_REFUSED;
            if (guest->expected && hall->seats) guest->rank = guest->handshake.theirs.rank;
        }
        if (!send_handshake(hall, guest)) return;
        sgp_handshake_state_t state = sgp_handshake_state(&guest->handshake);
        if (state == SGP_HANDSHAKE_DONE) shaken(hall, guest);
        if (state == SGP_HANDSHAKE_REFUSED) refused(hall, guest);
        if (state == SGP_HANDSHAKE_DONE || state == SGP_HANDSHAKE_REFUSED) return;
        void *place = sgp_handshake_place(&guest->handshake, &wanted);
        if (!wanted || !receive(hall, guest, place, wanted, &got)) return;
        sgp_handshake_received(&guest->handshake, got);
    }
}

static void look_at_card(sgp_hall_t *hall, sgp_guest_t *guest) {
    size_t got;
    if (!receive(hall, guest, guest->in + guest->have, sizeof guest->in - guest->have, &got))
        return;
    guest->have += got;
    if (guest->have == sizeof guest->in) seat(hall, guest);
}

/* One who sits has nothing to say but that it is ready. */
static void listen_to(sgp_hall_t *hall, sgp_guest_t *guest) {
    size_t got, bytes;
    sgp_note_t note;
    if (!receive(hall, guest, guest->in + guest->have, SGP_NOTE_HEADER - guest->have, &got)) return;
    guest->have += got;
    if (guest->have < SGP_NOTE_HEADER) return;
    guest->have = 0;
    if (guest->state == SEATED && sgp_note_decode(guest->in, 0, &note, &bytes) &&
        note == SGP_NOTE_READY)
        guest->state = READY;
    else leaves(hall, guest);
}

static void serve(sgp_hall_t *hall, sgp_guest_t *guest, short events) {
    unsigned char rest[256];
    if (guest->out_at < guest->out_end && (events & POLLOUT)) flush(hall, guest);
    if (!(events & ~POLLOUT) && guest->state != SHAKING) return;
    switch (guest->state) {
    case SHAKING:
        shake(hall, guest);
        break;
    case SHOWING:
        look_at_card(hall, guest);
        break;
    case SEATED:
    case READY:
        listen_to(hall, guest);
        break;
    case GOING: /* a card that nobody wants any more */
        receive(hall, guest, rest, sizeof rest, &(size_t){0});
        break;
    case GONE:
        break;
    }
}

/* ---- callers ---- */

/* Whoever has been a stranger for longest makes room. */
static void make_room(sgp_hall_t *hall) {
    sgp_guest_t *oldest = NULL;
    int strangers = 0;
    for (int i = 0; i < hall->count; i++) {
        if (!stranger(hall->guests[i])) continue;
        strangers++;
        if (!oldest || hall->guests[i]->until < oldest->until) oldest = hall->guests[i];
    }
    if (strangers >= MOST_STRANGERS) see_off(hall, oldest);
    sweep(hall);
}

static sgp_guest_t *add_guest(sgp_hall_t *hall) {
    make_room(hall);
    if (hall->count == hall->room) {
        int room = hall->room ? 2 * hall->room : 16;
        sgp_guest_t **grown = realloc(hall->guests, (size_t)room * sizeof(sgp_guest_t *));
        if (!grown) return NULL;
        hall->guests = grown;
        hall->room = room;
    }
    sgp_guest_t *guest = calloc(1, sizeof *guest);
    if (guest) hall->guests[hall->count++] = guest;
    return guest;
}

static sgp_status_t welcome(sgp_hall_t *hall, int socket, const sgp_address_t *from) {
    const sgp_card_t *mine = hall->mine;
    sgp_guest_t *guest = add_guest(hall);
    if (!guest) {
        close(socket);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a caller");
    }
    sgp_hello_t hello = {.rank = mine->rank, .size = mine->size, .fingerprint = mine->fingerprint};
    memcpy(hello.version, mine->version, sizeof hello.version);
    guest->socket = socket;
    guest->from = *from;
    guest->rank = -1;
    guest->until = sgp_clock_now() + (uint64_t)PATIENCE_S * SGP_SECOND;
    sgp_handshake_init(&guest->handshake, false, &hello, hall->meeting->key);
    return SGP_OK;
}

/* Some at a time: they keep coming as long as someone calls. */
static sgp_status_t accept_callers(sgp_hall_t *hall) {
    sgp_status_t status = SGP_OK;
    for (int i = 0; i < MOST_STRANGERS / 4 && status == SGP_OK; i++) {
        sgp_address_t from = {.length = sizeof from.at};
        int made = accept4(hall->listener, (struct sockaddr *)&from.at, &from.length,
                           SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (made < 0 && (errno == EMFILE || errno == ENFILE))
            return sgp_fail(SGP_ERR_SYSTEM, "no more connections: %s", strerror(errno));
        if (made < 0) return SGP_OK;
        status = welcome(hall, made, &from);
    }
    return status;
}

/* ---- the hall ---- */

void sgp_hall_init(sgp_hall_t *hall, int listener, const sgp_meeting_t *meeting,
                   const sgp_card_t *mine, bool seats) {
    *hall = (sgp_hall_t){.listener = listener, .meeting = meeting, .mine = mine, .seats = seats};
}

void sgp_hall_fini(sgp_hall_t *hall) {
    for (int i = 0; i < hall->count; i++) {
        see_off(hall, hall->guests[i]);
        free(hall->guests[i]);
    }
    free(hall->guests);
    *hall = (sgp_hall_t){.listener = -1};
}

int sgp_hall_places(const sgp_hall_t *hall) {
    return hall->count + 1;
}

static short events_of(const sgp_guest_t *guest) {
    size_t pending = guest->out_end - guest->out_at;
    if (guest->state == SHAKING) sgp_handshake_pending(&guest->handshake, &pending);
    return (short)(POLLIN | (pending ? POLLOUT : 0));
}

void sgp_hall_watch(const sgp_hall_t *hall, struct pollfd *places) {
    places[0] = (struct pollfd){.fd = hall->listener, .events = POLLIN};
    for (int i = 0; i < hall->count; i++)
        places[i + 1] =
            (struct pollfd){.fd = hall->guests[i]->socket, .events = events_of(hall->guests[i])};
}

sgp_status_t sgp_hall_serve(sgp_hall_t *hall, const struct pollfd *places) {
    uint64_t now = sgp_clock_now();
    int count = hall->count; /* those that places has */
    for (int i = 0; i < count; i++) {
        sgp_guest_t *guest = hall->guests[i];
        if (places[i + 1].revents) serve(hall, guest, places[i + 1].revents);
        if (stranger(guest) && now > guest->until) see_off(hall, guest);
    }
    sgp_status_t status = SGP_OK;
    if (hall->listener >= 0 && places[0].revents) status = accept_callers(hall);
    sweep(hall);
    return status;
}

/* ---- the beginning ---- */

/* Ranks that were claimed, and the others in order of arrival: the founder came first. */
static void give_ranks(sgp_hall_t *hall, bool *taken, int *rank) {
    int size = hall->mine->size;
    if (*rank >= 0) taken[*rank] = true;
    for (int i = 0; i < hall->count; i++)
        if (hall->guests[i]->rank >= 0) taken[hall->guests[i]->rank] = true;
    int next = 0;
    for (int order = 0; order <= hall->order; order++) {
        int *place = order == 0 ? rank : NULL;
        for (int i = 0; i < hall->count && !place; i++)
            if (hall->guests[i]->order == order) place = &hall->guests[i]->rank;
        if (!place || *place >= 0) continue;
        while (next < size && taken[next]) next++;
        *place = next++;
    }
}

static sgp_status_t tell_cards(sgp_hall_t *hall, const sgp_card_t *all) {
    size_t bytes = 4 + (size_t)hall->mine->size * SGP_CARD_BYTES;
    unsigned char *text = malloc(bytes);
    bool told = text != NULL;
    for (int r = 0; r < hall->mine->size && told; r++)
        sgp_card_encode(&all[r], text + 4 + (size_t)r * SGP_CARD_BYTES);
    for (int i = 0; i < hall->count && told; i++) {
        put_4(text, (uint32_t)hall->guests[i]->rank);
        told = say(hall->guests[i], SGP_NOTE_CARDS, text, bytes);
    }
    free(text);
    return told ? SGP_OK : sgp_fail(SGP_ERR_NO_MEMORY, "no memory to tell all who takes part");
}

static bool all_ready(const sgp_hall_t *hall) {
    for (int i = 0; i < hall->count; i++)
        if (hall->guests[i]->state != READY) return false;
    return true;
}

/* Serves the guests once. places: (size). */
static sgp_status_t attend(sgp_hall_t *hall, const sgp_limit_t *limit, struct pollfd *places) {
    int left = sgp_limit_left_ms(limit);
    if (left == 0)
        return sgp_fail(SGP_ERR_TIMEOUT, "a process fell silent while the group was meeting");
    sgp_hall_watch(hall, places);
    if (poll(places, (nfds_t)sgp_hall_places(hall), left) < 0) return SGP_OK;
    return sgp_hall_serve(hall, places);
}

static void send_strangers_away(sgp_hall_t *hall) {
    for (int i = 0; i < hall->count; i++)
        if (stranger(hall->guests[i])) see_off(hall, hall->guests[i]);
    sweep(hall);
}

/* All say that they accept nobody any more before anybody begins: then no caller of the group meets a
 * member that takes it for a newcomer. */
static sgp_status_t begin_all(sgp_hall_t *hall, const sgp_card_t *all) {
    enum { MEETING_MS = 30000 };
    sgp_limit_t limit = sgp_limit_make(MEETING_MS);
    struct pollfd *places = calloc((size_t)hall->mine->size, sizeof *places);
    sgp_status_t status =
        places ? tell_cards(hall, all)
               : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d processes", hall->mine->size);
    while (status == SGP_OK && !all_ready(hall)) {
        status = attend(hall, &limit, places);
        if (status == SGP_OK && hall->count + 1 < hall->mine->size)
            status = sgp_fail(SGP_ERR_PEER_LOST, "a process ended while the group was meeting");
    }
    for (int i = 0; i < hall->count && status == SGP_OK; i++) {
        say_last(hall, hall->guests[i], SGP_NOTE_BEGIN, NULL, 0);
        if (hall->guests[i]->state == GONE)
            status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to tell all that the group begins");
    }
    while (status == SGP_OK && hall->count > 0) status = attend(hall, &limit, places);
    free(places);
    return status;
}

sgp_status_t sgp_hall_begin(sgp_hall_t *hall, int *rank, sgp_card_t **all) {
    int size = hall->mine->size, own = hall->mine->rank;
    sgp_card_t *cards = calloc((size_t)size, sizeof *cards);
    bool *taken = calloc((size_t)size, sizeof *taken);
    sgp_status_t status =
        cards && taken ? SGP_OK : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d cards", size);
    hall->listener = -1;
    send_strangers_away(hall);
    if (status == SGP_OK) {
        give_ranks(hall, taken, &own);
        cards[own] = *hall->mine;
        cards[own].rank = own;
        for (int i = 0; i < hall->count; i++) {
            int r = hall->guests[i]->rank;
            cards[r] = hall->guests[i]->card;
            cards[r].rank = r;
        }
        status = begin_all(hall, cards);
    }
    free(taken);
    if (status != SGP_OK) {
        free(cards);
        return status;
    }
    *rank = own;
    *all = cards;
    return SGP_OK;
}

void sgp_hall_dismiss(sgp_hall_t *hall, const char *why) {
    char reason[SGP_VERDICT_BYTES] = "";
    snprintf(reason, sizeof reason, "%s", why);
    for (int i = 0; i < hall->count; i++) {
        sgp_guest_t *guest = hall->guests[i];
        if (guest->state != SEATED && guest->state != READY) continue;
        say_last(hall, guest, SGP_NOTE_REFUSED, reason, sizeof reason);
        if (guest->state == GOING) flush(hall, guest);
    }
}
