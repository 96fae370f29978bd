/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/sponsor.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/fork.h"
#include "base/logging.h"
#include "base/bytes.h"
#include "transport/tcp/sealed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4, REQUEST_MS = 10000, READY_MS = 600000 };

#define LOOK_EVERY (2 * SGP_MILLISECOND) /* at the sockets: the caller may look far more often */

typedef enum stage {
    STAGE_ENDED,      /* its place is free */
    STAGE_REQUESTING, /* its request is arriving */
    STAGE_LOADING,    /* it has its WELCOME, or gets it, and will say that it is ready */
    STAGE_SETTLING,   /* its JOIN notice is made, and spreads */
    STAGE_CLOSING,    /* its last message is being sent */
} stage_t;

typedef struct guest {
    stage_t stage;
    int socket;
    sgp_sealed_t sealed;
    uint64_t until; /* sgp_clock_now */
    sgp_address_t from;
    unsigned char in[SGP_ENTER_HEAD + SGP_ENTER_REQUEST_BYTES];
    size_t in_have;
    unsigned char *out; /* owned */
    size_t out_at, out_end;
    bool wrapped; /* out is what travels */
    bool offered; /* the owner knows it */
    bool admitted;
    uint64_t step; /* from which it takes part, once it is admitted */
    sgp_sponsored_t is;
    sgp_endpoint_t endpoint;
    unsigned char card[SGP_CARD_BYTES];
} guest_t;

struct sgp_sponsor {
    sgp_sponsor_options_t options;
    guest_t *guests; /* (options.most) */
    int count;       /* of those that have not ended */
    uint64_t looked;
    char own[SGP_ADDRESS_TEXT];
};

/* ---- the end of a candidate ---- */

static void end(sgp_sponsor_t *sponsor, guest_t *guest) {
    const sgp_sponsor_owner_t *owner = &sponsor->options.owner;
    if (guest->stage == STAGE_ENDED) return;
    guest->stage = STAGE_ENDED;
    sponsor->count--;
    sgp_fork_close(guest->socket);
    sgp_sealed_fini(&guest->sealed);
    free(guest->out);
    guest->out = NULL;
    if (guest->offered && owner->parted) owner->parted(owner->context, &guest->is, guest->admitted);
}

static uint64_t in_ms(int milliseconds) {
    return sgp_clock_now() + (uint64_t)milliseconds * SGP_MILLISECOND;
}

/* ---- sending ---- */

/* The message has been written: from here on `out` is what travels. false: no memory, and the candidate has ended. */
static bool wrap(sgp_sponsor_t *sponsor, guest_t *guest) {
    size_t bytes = 0;
    if (guest->wrapped || !guest->out_end) return true;
    unsigned char *out = sgp_sealed_wrap(&guest->sealed, guest->out, guest->out_end, &bytes);
    free(guest->out);
    guest->out = out;
    guest->out_end = bytes;
    guest->wrapped = true;
    if (!out) end(sponsor, guest);
    return out;
}

/* Sends what the socket takes. */
static void flush(sgp_sponsor_t *sponsor, guest_t *guest) {
    if (!wrap(sponsor, guest)) return;
    while (guest->out_at < guest->out_end) {
        ssize_t sent = send(guest->socket, guest->out + guest->out_at,
                            guest->out_end - guest->out_at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) return;
        if (sent < 0) {
            end(sponsor, guest);
            return;
        }
        guest->out_at += (size_t)sent;
    }
    if (guest->stage == STAGE_CLOSING) end(sponsor, guest);
}

/* The place for a message's contents, which flush sends; one message at a time is under way. NULL: no memory, and the
 * candidate has ended. */
static unsigned char *say(sgp_sponsor_t *sponsor, guest_t *guest, sgp_enter_kind_t kind,
                          size_t bytes) {
    free(guest->out);
    guest->out = malloc(SGP_ENTER_HEAD + bytes);
    guest->out_at = 0;
    guest->wrapped = false;
    guest->out_end = guest->out ? SGP_ENTER_HEAD + bytes : 0;
    if (!guest->out) {
        end(sponsor, guest);
        return NULL;
    }
    sgp_enter_head_encode(kind, bytes, guest->out);
    return guest->out + SGP_ENTER_HEAD;
}

static void begin_closing(sgp_sponsor_t *sponsor, guest_t *guest) {
    guest->stage = STAGE_CLOSING;
    guest->until = in_ms(sponsor->options.request_ms);
}

static void refuse(sgp_sponsor_t *sponsor, guest_t *guest, bool again, const char *why) {
    unsigned char reason[SGP_ENTER_REASON];
    char address[SGP_ADDRESS_TEXT];
    size_t bytes = sgp_enter_refused_encode(why, again, reason);
    sgp_log(again ? SGP_LOG_INFO : SGP_LOG_WARNING, "refused %s, which asks to join: %s",
            sgp_address_text(&guest->from, address), why);
    unsigned char *at = say(sponsor, guest, SGP_ENTER_REFUSED, bytes);
    if (!at) return;
    memcpy(at, reason, bytes);
    begin_closing(sponsor, guest);
}

/* ---- seats ---- */

static bool is_taken(const sgp_sponsor_t *sponsor, int seat) {
    for (int i = 0; i < sponsor->options.most; i++) {
        const guest_t *guest = &sponsor->guests[i];
        if (guest->stage != STAGE_ENDED && guest->offered && guest->is.seat == seat) return true;
    }
    return seat == sponsor->options.transport->rank;
}

/* Whether the seat may be given, and the next incarnation. */
static bool is_free(const sgp_sponsor_t *sponsor, int seat, uint32_t *incarnation) {
    const sgp_sponsor_owner_t *owner = &sponsor->options.owner;
    sgp_fates_t *fates = sponsor->options.transport->fates;
    sgp_fate_state_t state = sgp_fates_of(fates, seat).state;
    if (is_taken(sponsor, seat) || state == SGP_FATE_PRESENT) return false;
    *incarnation = state == SGP_FATE_ABSENT ? 0 : sgp_fates_incarnation(fates, seat) + 1;
    return !owner->is_free || owner->is_free(owner->context, seat, incarnation);
}

/* How well a free seat suits: one that was never used, then one whose member is gone for certain. A member that was struck
 * off for its silence may live, and want its own. */
static int rate(const sgp_sponsor_t *sponsor, int seat) {
    sgp_fate_t fate = sgp_fates_of(sponsor->options.transport->fates, seat);
    if (fate.state == SGP_FATE_ABSENT) return 3;
    bool certain = fate.state == SGP_FATE_LEFT || fate.cause == SGP_CAUSE_ENDED ||
                   fate.cause == SGP_CAUSE_REFUSED || fate.cause == SGP_CAUSE_ABORTED;
    return certain ? 2 : 1;
}

/* Its own seat is not free yet, and no other candidate has it: this member has still to hear that it was struck off, or the
 * graph has the seat up to a later step. */
static bool waits_for_own(const sgp_sponsor_t *sponsor, const sgp_enter_request_t *request) {
    const sgp_transport_t *transport = sponsor->options.transport;
    uint32_t incarnation;
    int seat = request->seat;
    if (seat < 0 || seat >= transport->capacity || is_taken(sponsor, seat)) return false;
    if (sgp_fates_of(transport->fates, seat).state == SGP_FATE_ABSENT) return false;
    return sgp_fates_incarnation(transport->fates, seat) <= request->incarnation &&
           !is_free(sponsor, seat, &incarnation);
}

/* false: none is free. */
static bool pick_seat(const sgp_sponsor_t *sponsor, const sgp_enter_request_t *request,
                      sgp_sponsored_t *is) {
    int capacity = sponsor->options.transport->capacity, best = 0;
    for (int seat = 0; seat < capacity; seat++) {
        uint32_t incarnation;
        if (!is_free(sponsor, seat, &incarnation)) continue;
        bool own = seat == request->seat && incarnation > request->incarnation;
        int rating = own ? 4 : rate(sponsor, seat);
        if (rating <= best) continue;
        best = rating;
        is->seat = seat;
        is->incarnation = incarnation;
    }
    return best > 0;
}

/* ---- the welcome ---- */

/* The newcomer, and how others call it: it tells that to those that it sponsors later. */
static sgp_enter_member_t guest_as_member(const guest_t *guest) {
    sgp_endpoint_t endpoint;
    sgp_enter_member_t member = {
        .seat = guest->is.seat, .present = true, .incarnation = guest->is.incarnation};
    if (sgp_endpoint_decode(guest->card, &endpoint) == SGP_OK)
        memcpy(member.address, endpoint.address, sizeof member.address);
    return member;
}

/* Members that were seen, and the guest. *known: the address of each present one is. */
static int list_members(const sgp_sponsor_t *sponsor, const guest_t *guest, unsigned char *table,
                        bool *known) {
    sgp_transport_t *transport = sponsor->options.transport;
    int count = 0;
    *known = true;
    for (int seat = 0; seat < transport->capacity; seat++) {
        sgp_fate_state_t state = sgp_fates_of(transport->fates, seat).state;
        sgp_address_t address;
        bool is_guest = seat == guest->is.seat;
        if (!is_guest && state == SGP_FATE_ABSENT) continue;
        sgp_enter_member_t member = {.seat = seat,
                                     .present = state == SGP_FATE_PRESENT,
                                     .incarnation = sgp_fates_incarnation(transport->fates, seat)};
        if (is_guest) member = guest_as_member(guest);
        else if (member.present && sgp_transport_address_of(transport, seat, &address))
            sgp_address_text(&address, member.address);
        else if (member.present) *known = false;
        sgp_welcome_put_member(&member, table + (size_t)count++ * SGP_ENTER_MEMBER_BYTES);
    }
    return count;
}

static void send_welcome(sgp_sponsor_t *sponsor, guest_t *guest, const sgp_sponsor_offer_t *offer) {
    const sgp_transport_t *transport = sponsor->options.transport;
    bool known;
    unsigned char *table = malloc((size_t)transport->capacity * SGP_ENTER_MEMBER_BYTES);
    if (!table) {
        end(sponsor, guest);
        return;
    }
    sgp_welcome_t welcome = {.capacity = transport->capacity,
                             .founders = transport->size,
                             .seat = guest->is.seat,
                             .incarnation = guest->is.incarnation,
                             .run = transport->run,
                             .chunk_bytes = transport->chunk_bytes,
                             .options = sponsor->options.options,
                             .peer_timeout_ms = sponsor->options.peer_timeout_ms,
                             .members = list_members(sponsor, guest, table, &known),
                             .table = table,
                             .view = offer->view,
                             .view_bytes = offer->view_bytes,
                             .blob = offer->blob,
                             .blob_bytes = offer->blob_bytes};
    if (!known) refuse(sponsor, guest, false, "a member of the group cannot be called over tcp");
    else {
        unsigned char *at = say(sponsor, guest, SGP_ENTER_WELCOME, sgp_welcome_bytes(&welcome));
        if (at) sgp_welcome_encode(&welcome, at);
    }
    free(table);
}

/* ---- requests ---- */

/* A candidate that calls again has given up its earlier call. */
static void end_earlier(sgp_sponsor_t *sponsor, const guest_t *guest, uint64_t candidate) {
    for (int i = 0; i < sponsor->options.most; i++) {
        guest_t *other = &sponsor->guests[i];
        if (other != guest && other->stage != STAGE_ENDED && other->offered &&
            other->is.candidate == candidate)
            end(sponsor, other);
    }
}

/* The reason to refuse a request at once; "": there is none. */
static const char *judge(const sgp_sponsor_t *sponsor, const sgp_enter_request_t *request,
                         char why[SGP_ENTER_REASON]) {
    uint64_t ours = sponsor->options.options;
    why[0] = '\0';
    if (request->options && request->options != ours)
        snprintf(why, SGP_ENTER_REASON,
                 "its options have the hash %016" PRIx64 ", and those of the run %016" PRIx64,
                 request->options, ours);
    else if (request->endpoint.transport == SGP_CHOICE_SHM)
        snprintf(why, SGP_ENTER_REASON,
                 "it has the transport shm, and newcomers are reached over tcp: give auto or tcp");
    return why;
}

static void offer(sgp_sponsor_t *sponsor, guest_t *guest) {
    const sgp_sponsor_owner_t *owner = &sponsor->options.owner;
    sgp_sponsor_offer_t made = {.view = NULL};
    char why[SGP_ENTER_REASON] = "the run takes no newcomers now";
    bool offered = owner->offer(owner->context, &guest->is, &made, why);
    if (offered &&
        (made.view_bytes > SGP_ENTER_VIEW_BYTES || made.blob_bytes > SGP_ENTER_BLOB_BYTES)) {
        offered = false;
        snprintf(why, sizeof why, "the view or the options of the run are too long");
    }
    guest->is.detail = NULL;
    guest->is.detail_bytes = 0;
    if (!offered) {
        refuse(sponsor, guest, false, why);
        return;
    }
    guest->offered = true;
    guest->stage = STAGE_LOADING;
    guest->until = in_ms(sponsor->options.ready_ms);
    send_welcome(sponsor, guest, &made);
}

static void heard_request(sgp_sponsor_t *sponsor, guest_t *guest, size_t bytes) {
    sgp_transport_t *transport = sponsor->options.transport;
    sgp_enter_request_t request;
    char why[SGP_ENTER_REASON];
    if (!sgp_enter_request_decode(guest->in + SGP_ENTER_HEAD, bytes, &request)) {
        refuse(sponsor, guest, false, "it sent no request of this version of sgp");
        return;
    }
    end_earlier(sponsor, guest, request.candidate);
    guest->endpoint = request.endpoint;
    guest->is = (sgp_sponsored_t){.candidate = request.candidate,
                                  .card = guest->card,
                                  .endpoint = &guest->endpoint,
                                  .detail = request.detail,
                                  .detail_bytes = request.detail_bytes};
    if (*judge(sponsor, &request, why)) refuse(sponsor, guest, false, why);
    else if (waits_for_own(sponsor, &request)) {
        snprintf(why, sizeof why, "its seat %d is not free yet", request.seat);
        refuse(sponsor, guest, true, why);
    } else if (!pick_seat(sponsor, &request, &guest->is)) {
        snprintf(why, sizeof why, "all %d seats are taken", transport->capacity);
        refuse(sponsor, guest, false, why);
    } else if (!sgp_card_make(&request.endpoint, &guest->from, sponsor->own, guest->is.seat,
                              transport->capacity, transport->run, guest->card)) {
        refuse(sponsor, guest, false, "it states no address at which others can call it");
    } else offer(sponsor, guest);
}

static void heard_fetch(sgp_sponsor_t *sponsor, guest_t *guest) {
    const sgp_sponsor_owner_t *owner = &sponsor->options.owner;
    char why[SGP_ENTER_REASON] = "the run has no state to give";
    void *bytes = NULL;
    size_t count = 0;
    bool given =
        !owner->snapshot || owner->snapshot(owner->context, &guest->is, &bytes, &count, why);
    if (given && count > SGP_ENTER_STATE_BYTES) {
        given = false;
        snprintf(why, sizeof why, "the state of the run has %zu bytes, which are too many", count);
    }
    unsigned char *at = given ? say(sponsor, guest, SGP_ENTER_STATE, count) : NULL;
    if (!given) refuse(sponsor, guest, false, why);
    else if (at && count) memcpy(at, bytes, count);
    free(bytes);
}

static void heard_decline(sgp_sponsor_t *sponsor, guest_t *guest, size_t bytes) {
    char why[SGP_ENTER_REASON], address[SGP_ADDRESS_TEXT];
    bool again;
    if (sgp_enter_refused_decode(guest->in + SGP_ENTER_HEAD, bytes, why, &again))
        sgp_log(SGP_LOG_WARNING, "%s does not join: %s", sgp_address_text(&guest->from, address),
                why);
    end(sponsor, guest);
}

/* Once it is certain that no other sponsor has given the seat away. */
static void settle(sgp_sponsor_t *sponsor, guest_t *guest) {
    const sgp_sponsor_owner_t *owner = &sponsor->options.owner;
    bool stays = true;
    if (owner->settled && !owner->settled(owner->context, &guest->is, &stays)) return;
    if (!stays) {
        char why[SGP_ENTER_REASON];
        snprintf(why, sizeof why, "seat %d has gone to another", guest->is.seat);
        refuse(sponsor, guest, true, why);
        return;
    }
    unsigned char *at = say(sponsor, guest, SGP_ENTER_ADMITTED, 8);
    if (!at) return;
    sgp_bytes_put(at, guest->step, 8);
    begin_closing(sponsor, guest);
}

static void heard_ready(sgp_sponsor_t *sponsor, guest_t *guest) {
    const sgp_sponsor_owner_t *owner = &sponsor->options.owner;
    char why[SGP_ENTER_REASON] = "the run takes no newcomers any more";
    bool again = false;
    if (!owner->admit(owner->context, &guest->is, &guest->step, &again, why)) {
        refuse(sponsor, guest, again, why);
        return;
    }
    guest->admitted = true;
    guest->stage = STAGE_SETTLING;
    settle(sponsor, guest);
}

/* ---- receiving ---- */

/* A message is whole. */
static void heard(sgp_sponsor_t *sponsor, guest_t *guest, sgp_enter_kind_t kind, size_t bytes) {
    bool idle = guest->out_at == guest->out_end;
    if (guest->stage == STAGE_REQUESTING && kind == SGP_ENTER_REQUEST)
        heard_request(sponsor, guest, bytes);
    else if (guest->stage == STAGE_LOADING && kind == SGP_ENTER_READY && idle)
        heard_ready(sponsor, guest);
    else if (guest->stage == STAGE_LOADING && kind == SGP_ENTER_FETCH && idle)
        heard_fetch(sponsor, guest);
    else if (guest->stage == STAGE_LOADING && kind == SGP_ENTER_REFUSED)
        heard_decline(sponsor, guest, bytes);
    else end(sponsor, guest);
    guest->in_have = 0;
}

/* Of the message that is arriving: head and contents, as far as the head is known. 0: it is none. */
static size_t wanted(const guest_t *guest, sgp_enter_kind_t *kind, size_t *bytes) {
    if (guest->in_have < SGP_ENTER_HEAD) return SGP_ENTER_HEAD;
    if (!sgp_enter_head_decode(guest->in, kind, bytes) || *bytes > SGP_ENTER_REQUEST_BYTES)
        return 0;
    return SGP_ENTER_HEAD + *bytes;
}

/* false: nothing more is here now. */
static bool receive(sgp_sponsor_t *sponsor, guest_t *guest) {
    sgp_enter_kind_t kind = SGP_ENTER_KIND_LAST;
    size_t bytes = 0, want = wanted(guest, &kind, &bytes);
    if (want > guest->in_have) {
        ssize_t got = sgp_sealed_receive(&guest->sealed, guest->socket, guest->in + guest->in_have,
                                         want - guest->in_have);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
        if (got > 0) guest->in_have += (size_t)got;
        else want = 0;
        if (want) want = wanted(guest, &kind, &bytes);
    }
    if (!want) {
        end(sponsor, guest);
        return false;
    }
    if (guest->in_have == want) heard(sponsor, guest, kind, bytes);
    return true;
}

/* ---- serving ---- */

static void take_visitors(sgp_sponsor_t *sponsor) {
    sgp_visitor_t visitor;
    for (int i = 0; i < sponsor->options.most; i++) {
        guest_t *guest = &sponsor->guests[i];
        if (guest->stage != STAGE_ENDED) continue;
        if (!sgp_transport_take_visitor(sponsor->options.transport, &visitor)) return;
        *guest = (guest_t){.stage = STAGE_REQUESTING,
                           .socket = visitor.socket,
                           .sealed = {.seals = visitor.seals},
                           .from = visitor.from,
                           .until = in_ms(sponsor->options.request_ms)};
        sponsor->count++;
    }
}

static void serve(sgp_sponsor_t *sponsor, guest_t *guest) {
    enum { READS = 8 }; /* the rest later: the caller has a step to make */
    for (int i = 0; i < READS && guest->stage != STAGE_ENDED && guest->stage != STAGE_CLOSING; i++)
        if (!receive(sponsor, guest)) break;
    if (guest->stage != STAGE_ENDED) flush(sponsor, guest);
    if (guest->stage != STAGE_ENDED && sgp_clock_now() > guest->until) end(sponsor, guest);
}

/* However short the steps are: the others wait for a newcomer at its first step, and so does this node. */
static void settle_all(sgp_sponsor_t *sponsor) {
    for (int i = 0; i < sponsor->options.most; i++) {
        guest_t *guest = &sponsor->guests[i];
        if (guest->stage != STAGE_SETTLING) continue;
        settle(sponsor, guest);
        if (guest->stage != STAGE_ENDED) flush(sponsor, guest);
    }
}

void sgp_sponsor_serve(sgp_sponsor_t *sponsor) {
    if (sponsor->count < sponsor->options.most) take_visitors(sponsor);
    if (!sponsor->count) return;
    settle_all(sponsor);
    uint64_t now = sgp_clock_now();
    if (now - sponsor->looked < LOOK_EVERY) return;
    sponsor->looked = now;
    for (int i = 0; i < sponsor->options.most; i++)
        if (sponsor->guests[i].stage != STAGE_ENDED) serve(sponsor, &sponsor->guests[i]);
}

int sgp_sponsor_candidates(const sgp_sponsor_t *sponsor) {
    return sponsor->count;
}

void sgp_sponsor_withdraw(sgp_sponsor_t *sponsor, uint64_t candidate, const char *why) {
    for (int i = 0; i < sponsor->options.most; i++) {
        guest_t *guest = &sponsor->guests[i];
        if (guest->stage != STAGE_LOADING || guest->is.candidate != candidate) continue;
        if (guest->out_at == guest->out_end) refuse(sponsor, guest, true, why);
        else
            end(sponsor, guest); /* in the middle of its WELCOME: it sees the end, and asks again */
    }
}

/* ---- making and ending ---- */

static int either(int given, int usual) {
    return given > 0 ? given : usual;
}

sgp_status_t sgp_sponsor_create(const sgp_sponsor_options_t *options, sgp_sponsor_t **sponsor) {
    sgp_transport_t *transport = options->transport;
    sgp_address_t own;
    if (!sgp_transport_can_admit(transport))
        return sgp_fail(SGP_ERR_UNSUPPORTED, "%s: no process can ask this node to join",
                        transport->ops->name);
    sgp_sponsor_t *made = calloc(1, sizeof *made);
    int most = either(options->most, MOST);
    if (made) made->guests = calloc((size_t)most, sizeof *made->guests);
    if (!made || !made->guests) {
        free(made);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory to answer newcomers");
    }
    made->options = *options;
    made->options.most = most;
    made->options.request_ms = either(options->request_ms, REQUEST_MS);
    made->options.ready_ms = either(options->ready_ms, READY_MS);
    if (sgp_transport_address_of(transport, transport->rank, &own))
        sgp_address_text(&own, made->own);
    sgp_transport_admit(transport, true);
    *sponsor = made;
    return SGP_OK;
}

void sgp_sponsor_destroy(sgp_sponsor_t *sponsor) {
    if (!sponsor) return;
    sgp_transport_admit(sponsor->options.transport, false);
    for (int i = 0; i < sponsor->options.most; i++) end(sponsor, &sponsor->guests[i]);
    free(sponsor->guests);
    free(sponsor);
}
