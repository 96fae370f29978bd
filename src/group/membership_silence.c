/* SPDX-License-Identifier: Apache-2.0 */
/* Members that a membership does not hear: the others are asked about them, some become dead, and a part of the group that is
 * too small pauses. */
#include "group/membership_internal.h"

#include "base/constants.h"
#include "base/logging.h"

/* Answers of the others are waited for so long. */
#define PATIENCE (500 * SGP_MILLISECOND)

/* A part without quorum pauses after that, and a death that others tell of is taken for true if the transport has not noticed
 * it by then. */
#define GRACE (1000 * SGP_MILLISECOND)

static bool is_present(const sgp_membership_t *membership, int rank) {
    return sgp_fates_of(membership->transport->fates, rank).state == SGP_FATE_PRESENT;
}

static bool is_live(const sgp_membership_t *membership, int rank) {
    uint64_t step = atomic_load(&membership->step);
    return sgp_view_state(membership->view, rank, step, NULL) == SGP_SEAT_LIVE;
}

static uint32_t incarnation_of(const sgp_membership_t *membership, int rank) {
    uint32_t incarnation = 0;
    sgp_view_newest(membership->view, rank, &incarnation);
    return incarnation;
}

/* Whether nothing is heard of it, as opposed to its not hearing this node. */
static bool is_unheard(const sgp_membership_t *membership, int rank) {
    unsigned silence = sgp_fates_silence(membership->transport->fates, rank);
    return silence & (SGP_SILENCE_UNHEARD | SGP_SILENCE_HUNG);
}

void sgp_membership_hears(sgp_membership_t *membership, int rank, bool hears) {
    uint64_t now = sgp_transport_now(membership->transport);
    uint64_t silence = sgp_transport_silence(membership->transport, rank);
    sgp_verdict_t *verdict = &membership->peers[rank].verdict;
    if (hears) sgp_verdict_end(verdict);
    else if (is_unheard(membership, rank))
        sgp_verdict_begin(verdict, silence < now ? now - silence : 0);
}

/* ---- questions and answers ---- */

static bool can_answer(void *context, int seat) {
    const sgp_membership_t *membership = context;
    return seat != membership->self && is_live(membership, seat) && is_present(membership, seat) &&
           !membership->peers[seat].silent;
}

/* The ones after the member in the circle of seats: nobody has to answer for many. */
static int choose_witnesses(sgp_membership_t *membership, int about, int *seats) {
    int count = 0;
    for (int i = 1; i < membership->size && count < SGP_WITNESSES; i++) {
        int seat = (about + i) % membership->size;
        if (can_answer(membership, seat)) seats[count++] = seat;
    }
    return count;
}

/* A question for which there is no room counts as one that is not answered. */
static void ask(sgp_membership_t *membership, int about, uint64_t now) {
    int seats[SGP_WITNESSES], count = choose_witnesses(membership, about, seats);
    unsigned char bytes[SGP_HEARD_BYTES];
    sgp_heard_message_t question = {.seat = about,
                                    .incarnation = incarnation_of(membership, about)};
    sgp_heard_encode(&question, bytes);
    for (int i = 0; i < count; i++)
        sgp_post_send(&membership->questions, seats[i], bytes, sizeof bytes);
    sgp_verdict_ask(&membership->peers[about].verdict, now, seats, count);
}

/* A member that is known to have ended is not heard; this node itself is here. */
static bool hears(const sgp_membership_t *membership, int about, uint32_t incarnation) {
    if (incarnation != incarnation_of(membership, about)) return false;
    if (about == membership->self) return true;
    return is_live(membership, about) && is_present(membership, about) &&
           !is_unheard(membership, about);
}

static void take_question(sgp_membership_t *membership, int src,
                          const sgp_heard_message_t *message) {
    unsigned char bytes[SGP_HEARD_BYTES];
    sgp_heard_message_t answer = {.answer = true,
                                  .hears = hears(membership, message->seat, message->incarnation),
                                  .seat = message->seat,
                                  .incarnation = message->incarnation};
    sgp_heard_encode(&answer, bytes);
    sgp_post_send(&membership->questions, src, bytes, sizeof bytes);
}

static void take_messages(sgp_membership_t *membership) {
    const unsigned char *bytes;
    size_t count;
    for (int src = 0; sgp_post_take(&membership->questions, &src, &bytes, &count);) {
        sgp_heard_message_t message;
        if (!sgp_heard_decode(bytes, count, membership->size, &message))
            sgp_post_refuse(&membership->questions, src, "it is no question about a member");
        else if (!message.answer) take_question(membership, src, &message);
        else if (message.incarnation == incarnation_of(membership, message.seat))
            sgp_verdict_answer(&membership->peers[message.seat].verdict, src, message.hears);
    }
}

/* ---- quorum ---- */

/* The present plan without members that have certainly ended, and those of them that this part has. A member whose end was
 * learned only while this part paused counts: the others may have struck this part off, and gone on to the run's end. */
typedef struct part {
    int plan, here;
    int ended;   /* of the others: they do not come back */
    bool lowest; /* this part has the lowest seat of them */
    bool lost;   /* that seat is one of those that ended */
} part_t;

static part_t count_part(const sgp_membership_t *membership) {
    uint64_t step = atomic_load(&membership->step);
    part_t part = {0};
    for (int s = 0; s < sgp_view_seats(membership->view); s++) {
        sgp_view_member_t member;
        uint32_t incarnation;
        if (sgp_view_state(membership->view, s, step, &incarnation) == SGP_SEAT_ABSENT) continue;
        sgp_view_member(membership->view, s, incarnation, &member);
        const sgp_peer_t *peer = &membership->peers[s];
        if (member.end && member.certain && !peer->unseen) continue;
        bool here = s == membership->self || (!member.end && !peer->silent && !peer->doubtful);
        bool ended = member.end && member.certain;
        if (part.plan == 0) part.lowest = here, part.lost = ended;
        part.plan++;
        part.here += here;
        part.ended += ended;
    }
    return part;
}

static bool has_quorum(const sgp_membership_t *membership) {
    part_t part = count_part(membership);
    double needed = membership->options.quorum * part.plan;
    return part.here > needed || (part.here >= needed && part.lowest);
}

/* Whether it would have one if all came back that can. */
static bool can_have_quorum(const sgp_membership_t *membership) {
    part_t part = count_part(membership);
    double needed = membership->options.quorum * part.plan;
    int left = part.plan - part.ended;
    return left > needed || (left >= needed && !part.lost);
}

static void pause(sgp_membership_t *membership, uint64_t now) {
    part_t part = count_part(membership);
    membership->heard_of = part.here;
    membership->counted = part.plan;
    membership->paused = now;
    membership->news.paused = true;
    atomic_store(&membership->has_news, true);
    membership->news.paused_in = atomic_load(&membership->step);
    sgp_log(membership->told_by_owner ? SGP_LOG_INFO : SGP_LOG_WARNING,
            "this node hears %d of %d nodes: it pauses until it hears more of them", part.here,
            part.plan);
}

static void resume(sgp_membership_t *membership) {
    membership->paused = 0;
    membership->news.resumed = true;
    atomic_store(&membership->has_news, true);
    membership->news.resumed_in = atomic_load(&membership->step);
    sgp_log(SGP_LOG_INFO, "this node hears enough of the others again, and goes on");
}

static void give_up_waiting(sgp_membership_t *membership) {
    if (sgp_inbox_ended(membership->inbox) != SGP_OK) return;
    if (!can_have_quorum(membership)) {
        sgp_inbox_end_waits(membership->inbox,
                            sgp_fail(SGP_ERR_PEER_LOST,
                                     "most of the others have ended while this node could not hear "
                                     "them, and may have gone on without it: gave up"));
        return;
    }
    sgp_inbox_end_waits(membership->inbox,
                        sgp_fail(SGP_ERR_PEER_LOST,
                                 "this node was without most of the others for %.1f s: gave up",
                                 (double)membership->options.pause_ns / 1e9));
}

static void earlier(uint64_t *time, uint64_t other) {
    if (other < *time) *time = other;
}

/* Whether this part may strike a silent member off. *next: when to look again. */
static bool look_at_quorum(sgp_membership_t *membership, uint64_t now, uint64_t *next) {
    if (has_quorum(membership)) {
        membership->quorum_lost = 0;
        if (membership->paused) resume(membership);
        return true;
    }
    bool hopeless = !can_have_quorum(membership);
    if (!membership->quorum_lost) membership->quorum_lost = now ? now : 1;
    uint64_t due = hopeless ? now : membership->quorum_lost + GRACE;
    if (!membership->paused && now >= due) pause(membership, now);
    if (!membership->paused) {
        earlier(next, due);
        return false;
    }
    /* Its owner saves what it has as it pauses. */
    uint64_t end = membership->paused + (hopeless ? GRACE : membership->options.pause_ns);
    if (now >= end) give_up_waiting(membership);
    else earlier(next, end);
    return false;
}

/* ---- the dead ---- */

/* The members cannot hear each other, and others hear both: as long as they are to come to one result, one gives way. */
static void give_way(sgp_membership_t *membership, int other, uint64_t now, uint64_t *next) {
    const sgp_verdict_t *verdict = &membership->peers[other].verdict;
    uint64_t due = verdict->since + membership->options.dead_ns;
    if (!verdict->contradicted || !membership->in_collective || membership->self < other) return;
    if (now < due) {
        earlier(next, due);
        return;
    }
    if (sgp_inbox_ended(membership->inbox) != SGP_OK) return;
    membership->leaving = membership->struck_off = true;
    sgp_membership_end(membership, membership->self, SGP_MEMBER_LEFT, true);
    sgp_inbox_end_waits(
        membership->inbox,
        sgp_fail(SGP_ERR_PEER_LOST,
                 "node %d and node %d cannot hear each other, while others hear both: "
                 "this node gives way",
                 membership->self, other));
}

static void judge(sgp_membership_t *membership, int rank, uint64_t now, uint64_t *next) {
    uint64_t limit = membership->options.dead_ns, at;
    uint64_t together = membership->options.dead_together_ns;
    if (membership->in_collective && together < limit) limit = together;
    sgp_verdict_t *verdict = &membership->peers[rank].verdict;
    sgp_conclusion_t conclusion =
        sgp_verdict_conclude(verdict, now, limit, PATIENCE, can_answer, membership, &at);
    if (conclusion == SGP_CONCLUSION_ASK) {
        ask(membership, rank, now);
        conclusion =
            sgp_verdict_conclude(verdict, now, limit, PATIENCE, can_answer, membership, &at);
    }
    if (conclusion == SGP_CONCLUSION_DEAD)
        sgp_membership_end(membership, rank, SGP_MEMBER_DEAD, false);
    earlier(next, at);
    give_way(membership, rank, now, next);
}

/* Whether the view has a later member of the seat than the transport. */
static bool is_given_again(const sgp_membership_t *membership, int rank) {
    return incarnation_of(membership, rank) >
           sgp_fates_incarnation(membership->transport->fates, rank);
}

/* Whether the view says that the seat's member here, perhaps not its latest one, has ended. */
static bool has_ended(const sgp_membership_t *membership, int rank, sgp_view_member_t *member) {
    uint32_t here = sgp_fates_incarnation(membership->transport->fates, rank);
    if (sgp_view_member(membership->view, rank, here, member) && member->end) return true;
    *member = (sgp_view_member_t){.end = SGP_MEMBER_DEAD, .certain = true};
    return is_given_again(membership, rank); /* only after its end */
}

/* The view says that a member has ended which the transport has as present. What it has sent may still be on its way, if the
 * end was seen by another one. One that has left and is not heard could be waited for as long as the link is cut. */
static void let_go(sgp_membership_t *membership, int rank, uint64_t now, uint64_t *next) {
    sgp_peer_t *peer = &membership->peers[rank];
    sgp_view_member_t member;
    if (!has_ended(membership, rank, &member)) return;
    bool left = member.end == SGP_MEMBER_LEFT, again = is_given_again(membership, rank);
    /* The transport notices that; but it may be the seat's next member that is heard. */
    if (left && !peer->silent && !again) return;
    if (!peer->ended) peer->ended = now ? now : 1;
    if (member.certain && (left || !peer->silent) && now < peer->ended + GRACE) {
        earlier(next, peer->ended + GRACE);
        return;
    }
    bool certain = member.certain && !peer->silent;
    sgp_transport_give_up(membership->transport, rank,
                          sgp_fate_lost(certain ? SGP_CAUSE_ENDED : SGP_CAUSE_SILENT),
                          certain ? "another node has seen it end" : NULL);
}

bool sgp_membership_listen(sgp_membership_t *membership) {
    uint64_t now = sgp_transport_now(membership->transport), next = UINT64_MAX;
    take_messages(membership);
    bool quorum = look_at_quorum(membership, now, &next);
    for (int r = 0; r < membership->size; r++) {
        const sgp_peer_t *peer = &membership->peers[r];
        if (r == membership->self) continue;
        if (peer->doubtful && quorum && is_live(membership, r))
            sgp_membership_end(membership, r, SGP_MEMBER_DEAD, false);
        if (!is_present(membership, r)) continue;
        if (peer->verdict.silent && quorum && is_live(membership, r))
            judge(membership, r, now, &next);
        let_go(membership, r, now, &next);
    }
    sgp_inbox_set_alarm(membership->inbox, SGP_KIND_HEARD, next);
    return false;
}
