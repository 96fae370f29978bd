/* SPDX-License-Identifier: Apache-2.0 */
/* The waiting rule of the lock step (docs/membership.md, "The lock step"): the one-peer exponential graph, a bounded
 * number of steps, and nodes that die, hang, are cut off or are suspected by mistake, at any moment.
 *
 * Proved for the bounds below, in every order of events:
 *   stuck    every node that runs finishes all steps
 *   leak     no room stays taken: each message is absorbed or returned, unless its receiver hangs or is cut off
 *   mass     the weights of live nodes and messages sum to the start's less those that died or were torn: no message
 *            is absorbed twice, or absorbed and returned
 *
 * Each action happens at any time and at most a bounded number of times, so that no run is infinite. Every run ends in
 * a state in which nothing can happen; there the process Check judges. A timer (suspicion, a repeated WAIT) is an
 * action that is enabled while its cause lasts: it runs out, but at an unknown moment.
 *
 * Simplifications, each of which keeps every behaviour that matters:
 *   - WAIT and PASSED are one action. The record of a step never changes once the step was pushed or passed over, so a
 *     delayed answer says the same; the answers "sent" and "not there yet" change nothing but views, which merge anyway.
 *   - A notice is merged by itself, not in a view with others. A node detects a death itself, or hears of it.
 *   - A message has one chunk. It is under way until its receiver waits for it, or waits at all in a later step; then it
 *     is absorbed. Before that an arrival changes nothing, except that the death of the sender could tear it no longer:
 *     so more messages are torn here than in reality. Messages of one sender may overtake each other.
 *   - A node that has room pushes in the action in which it takes its view: no action between these two depends on the
 *     push not having happened.
 *   - The first event is one of node 0, since the graph looks the same from each node.
 * Left out: overlap, several peers, joins, live members declared dead, duplicates after a reconnection.
 *
 * Bounds:    NODES, STEPS, ROOM (messages that a sender may have unreleased), DEATHS, HANGS (with or without an end),
 *            DOUBTS (suspicions of a node that runs), CUTS (of a pair, with or without an end), ONE_WAY_CUTS.
 * The graph: PLAN_FIXED (dead members stay holes), PLAN_AT_K (formed anew at the notice's step; the default),
 *            PLAN_NOW (formed anew as soon as a node knows).
 * Rejected rules, each with a counterexample:
 *   NO_WAIT             a waiting node asks nobody: only a message, death or suspicion releases it
 *   NEWER_VIEW          instead of the record: released by a sender that knows of more deaths
 *   ONLY_EXPECTED       messages that the graph does not announce are not absorbed
 *   ABSORB_AFTER_WAIT   late messages are absorbed at the end of a step only, not while the node waits
 *   SILENT_RETURNS      messages to a silent receiver are taken back
 *   ONE_SIDED           a node does not heed that a member calls it silent */
#ifndef NODES
#define NODES 3
#endif
#ifndef STEPS
#define STEPS 4
#endif
#ifndef ROOM
#define ROOM 2
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef HANGS
#define HANGS 0
#endif
#ifndef DOUBTS
#define DOUBTS 0
#endif
#ifndef CUTS
#define CUTS 0
#endif
#ifndef ONE_WAY_CUTS
#define ONE_WAY_CUTS 0
#endif
#ifndef LEAD
#define LEAD 1 /* steps from the highest step heard of to a notice's K; the real one is longer */
#endif
#if !defined(PLAN_FIXED) && !defined(PLAN_NOW)
#define PLAN_AT_K
#endif

#define NOBODY NODES
#define MESSAGES (NODES * STEPS)
#define ALL ((1 << NODES) - 1)
#define WHOLE (1 << STEPS) /* the weight 1 in units; each push halves it */
#define BIT(i) (1 << (i))
#define HAS(set, i) (((set) >> (i)) & 1)
#define ID(sender, step) ((sender) * STEPS + (step))

/* Phases of a step. */
#define TAKE 0 /* about to take the view */
#define PUSH 1 /* neighbours are fixed; waits for room */
#define WAIT 2 /* pushed; waits for the in-neighbour */

/* A message, named by sender and step. */
#define NOT_YET 0
#define NOT_SENT 1 /* the share was kept, or the step passed over */
#define UNDER_WAY 2
#define HERE 3 /* whole at the receiver */
#define ABSORBED 4
#define RETURNED 5
#define TORN 6
#define GONE 7 /* from a dead node to a dead node */

byte step[NODES], phase[NODES] = TAKE;
byte receiver[NODES] = NOBODY, sender[NODES] = NOBODY; /* neighbours of the present step */
byte weight[NODES] = WHOLE;          /* w, in units */
byte known[NODES];                   /* set of members whose death the node knows */
byte silent[NODES];                  /* set of members that the node suspects */
byte cut[NODES];                     /* cut[i]: set of members that nothing from i reaches */
byte healing[NODES];                 /* those of them that it will reach again */
byte was_silent;                     /* set of members that someone has suspected */
byte dead, hung, resuming;           /* sets: the truth; those of the hung that will run again */
byte to[MESSAGES], state[MESSAGES], share[MESSAGES];
byte removed; /* units that died or were torn */
#ifdef PLAN_AT_K
byte until[NODES * NODES]; /* the notice's K, by observer and dead member */
#endif

hidden byte a_, b_, plan_, hops_; /* scratch of actions, which nothing interrupts: no part of a state */

#define RUNS(i) (!HAS(dead | hung, i))
#define REACHES(i, j) (RUNS(i) && !HAS(cut[i], j))
#ifdef ONE_SIDED
#define TOLD_SILENT(i, j) false
#else
#define TOLD_SILENT(i, j) (HAS(silent[j], i) && REACHES(j, i)) /* j tells i that it does not hear i */
#endif
#define GIVEN_UP(i, j) (HAS(known[i] | silent[i], j) || TOLD_SILENT(i, j))
#define UNRELEASED(m) (state[m] == UNDER_WAY || state[m] == HERE)

/* Sums and disjunctions over members and steps, since guards have no loops. */
#if NODES == 3
#define ANY_MEMBER(CONDITION, i) (CONDITION(i, 0) || CONDITION(i, 1) || CONDITION(i, 2))
#define EACH_MEMBER(ACTION) :: ACTION(0) :: ACTION(1) :: ACTION(2)
#elif NODES == 4
#define ANY_MEMBER(CONDITION, i) (CONDITION(i, 0) || CONDITION(i, 1) || CONDITION(i, 2) || CONDITION(i, 3))
#define EACH_MEMBER(ACTION) :: ACTION(0) :: ACTION(1) :: ACTION(2) :: ACTION(3)
#else
#error "NODES is 3 or 4"
#endif
#if STEPS == 3
#define SUM_OF_STEPS(TERM, i) (TERM(i, 0) + TERM(i, 1) + TERM(i, 2))
#define EACH_STEP(ACTION) :: ACTION(0) :: ACTION(1) :: ACTION(2)
#elif STEPS == 4
#define SUM_OF_STEPS(TERM, i) (TERM(i, 0) + TERM(i, 1) + TERM(i, 2) + TERM(i, 3))
#define EACH_STEP(ACTION) :: ACTION(0) :: ACTION(1) :: ACTION(2) :: ACTION(3)
#elif STEPS == 5
#define SUM_OF_STEPS(TERM, i) (TERM(i, 0) + TERM(i, 1) + TERM(i, 2) + TERM(i, 3) + TERM(i, 4))
#define EACH_STEP(ACTION) :: ACTION(0) :: ACTION(1) :: ACTION(2) :: ACTION(3) :: ACTION(4)
#else
#error "STEPS is 3, 4 or 5"
#endif

#define TAKES_ROOM(i, k) (UNRELEASED(ID(i, k)) && !GIVEN_UP(i, to[ID(i, k)]))
#define HAS_ROOM(i) (SUM_OF_STEPS(TAKES_ROOM, i) < ROOM)
#define CAN_PUSH(i) (receiver[i] == NOBODY || HAS(known[i], receiver[i]) || HAS_ROOM(i))
#define IS_AHEAD(i, j) (REACHES(j, i) && step[j] > step[i])
#define IS_FAR_AHEAD(i, j) (REACHES(j, i) && step[j] > step[i] + 1)

/* result: the member of plan_ that is hops_ ranks from a member, up (direction 1) or down (NODES - 1). */
inline walk(member, direction, result) {
    result = member;
    b_ = hops_;
    do
    :: b_ == 0 -> break
    :: else ->
        result = (result + direction) % NODES;
        b_ = (HAS(plan_, result) -> b_ - 1 : b_)
    od
}

/* plan_: the members of the graph in the present step of node i, as i knows it. hops_: the graph's distance. */
inline find_plan(i) {
    plan_ = ALL;
#ifdef PLAN_NOW
    plan_ = ALL & ~known[i];
#endif
    b_ = 0;
    a_ = 0;
    do
    :: a_ == NODES -> break
    :: else ->
#ifdef PLAN_AT_K
        if
        :: HAS(known[i], a_) && until[i * NODES + a_] <= step[i] -> plan_ = plan_ & ~BIT(a_)
        :: else
        fi;
#endif
        b_ = b_ + HAS(plan_, a_);
        a_++
    od;
    hops_ = (b_ < 2 -> 0 : (b_ > 2 && (step[i] & 1) -> 2 : 1))
}

inline take_view(i) {
    find_plan(i);
    receiver[i] = NOBODY;
    sender[i] = NOBODY;
    if
    :: hops_ > 0 ->
        walk(i, 1, receiver[i]);
        walk(i, NODES - 1, sender[i]);
        if
        :: GIVEN_UP(i, receiver[i]) -> receiver[i] = NOBODY
        :: else
        fi
    :: else
    fi;
    printf("node %d takes the view of step %d: receiver %d, in-neighbour %d\n", i, step[i], receiver[i], sender[i])
}

inline push(i) {
    a_ = ID(i, step[i]);
    if
    :: receiver[i] == NOBODY || HAS(known[i], receiver[i]) ->
        state[a_] = NOT_SENT;
        printf("node %d keeps its share of step %d\n", i, step[i])
    :: else ->
        to[a_] = receiver[i];
        state[a_] = UNDER_WAY;
        share[a_] = weight[i] / 2;
        weight[i] = weight[i] - share[a_];
        printf("node %d pushes step %d to %d\n", i, step[i], to[a_])
    fi;
    receiver[i] = NOBODY;
    phase[i] = WAIT
}

inline pass_over(i) {
    printf("node %d passes over step %d\n", i, step[i]);
    state[ID(i, step[i])] = NOT_SENT;
    step[i]++
}

/* The record of j says that it sent node i nothing in step k: pushed to another, or to none. */
#define NOT_SENT_TO(j, i, k) \
    (state[ID(j, k)] == NOT_SENT || (state[ID(j, k)] != NOT_YET && to[ID(j, k)] != i))

#if defined(NO_WAIT)
#define ANSWERED(i, j, k) false
#elif defined(NEWER_VIEW)
#define ANSWERED(i, j, k) (REACHES(j, i) && (known[j] & ~known[i]) != 0)
#else
#define ANSWERED(i, j, k) (REACHES(i, j) && REACHES(j, i) && NOT_SENT_TO(j, i, k))
#endif
#define ARRIVED(i, j, k) (to[ID(j, k)] == i && (state[ID(j, k)] == HERE || state[ID(j, k)] == ABSORBED))
#define RELEASED(i, j, k) \
    (j == NOBODY || ARRIVED(i, j, k) || GIVEN_UP(i, j) || ANSWERED(i, j, k))

inline absorb(i, m) {
    weight[i] = weight[i] + share[m];
    share[m] = 0;
    state[m] = ABSORBED;
    printf("node %d absorbs step %d of %d\n", i, m % STEPS, m / STEPS)
}

/* Node i absorbs what has come with a step of at most k. */
inline absorb_all(i, k) {
    a_ = 0;
    do
    :: a_ == MESSAGES -> break
    :: else ->
        if
        :: state[a_] == HERE && to[a_] == i && a_ % STEPS <= k -> absorb(i, a_)
        :: else
        fi;
        a_++
    od;
    a_ = 0
}

#ifdef ABSORB_AFTER_WAIT
#define ABSORB_AT_END(i) absorb_all(i, step[i])
#else
#define ABSORB_AT_END(i) skip
#endif

/* Node i takes back its unreleased messages to member d. */
inline take_back(i, d) {
    a_ = ID(i, 0);
    do
    :: a_ == ID(i, STEPS) -> break
    :: else ->
        if
        :: UNRELEASED(a_) && to[a_] == d ->
            weight[i] = weight[i] + share[a_];
            share[a_] = 0;
            state[a_] = RETURNED;
            printf("node %d takes back step %d from %d\n", i, a_ % STEPS, d)
        :: else
        fi;
        a_++
    od;
    a_ = 0
}

/* b_: the highest step that node i can have heard of. */
inline find_highest(i) {
    b_ = step[i];
    a_ = 0;
    do
    :: a_ == NODES -> break
    :: else ->
        b_ = (REACHES(a_, i) && step[a_] > b_ -> step[a_] : b_);
        a_++
    od;
    a_ = 0
}

inline strike_off(i, d) {
    known[i] = known[i] | BIT(d);
    silent[i] = silent[i] & ~BIT(d);
    printf("node %d learns that %d is dead\n", i, d);
    take_back(i, d)
}

#define LEARNS(d) RUNS(_pid) && HAS(dead & ~known[_pid], d)
#ifdef PLAN_AT_K
/* The maker of a notice has heard of the others' steps, or not yet. */
#define LEARN(d) d_step { LEARNS(d) -> until[_pid * NODES + d] = step[_pid] + LEAD; strike_off(_pid, d) }
#define LEARN_LATER(d) \
    d_step { LEARNS(d) && ANY_MEMBER(IS_AHEAD, _pid) -> \
        find_highest(_pid); until[_pid * NODES + d] = b_ + LEAD; strike_off(_pid, d) }
#define SMALLER(j, d) (REACHES(j, _pid) && HAS(known[j] & known[_pid], d) && \
    until[j * NODES + d] < until[_pid * NODES + d])
#define MERGE_OF(j, d) d_step { SMALLER(j, d) && RUNS(_pid) -> \
        until[_pid * NODES + d] = until[j * NODES + d]; \
        printf("node %d merges K = %d of %d from %d\n", _pid, until[j * NODES + d], d, j) }
#define MERGE(d) MERGE_OF((_pid + 1) % NODES, d) :: MERGE_OF((_pid + 2) % NODES, d) :: MERGE_OF((_pid + 3) % NODES, d)
#else
#define LEARN(d) d_step { LEARNS(d) -> strike_off(_pid, d) }
#endif

/* A timer runs out. A dead member that is taken for silent first changes nothing but the order. */
#define SUSPECT(j) \
    d_step { RUNS(_pid) && j != _pid && (HAS(hung, j) || HAS(cut[j], _pid)) && \
        !HAS(dead | silent[_pid], j) -> suspect(_pid, j) }
/* Something of j arrives. */
#define TRUST(j) \
    d_step { RUNS(_pid) && HAS(silent[_pid], j) && REACHES(j, _pid) -> \
        silent[_pid] = silent[_pid] & ~BIT(j); printf("node %d trusts %d again\n", _pid, j) }

inline suspect(i, j) {
    silent[i] = silent[i] | BIT(j);
    was_silent = was_silent | BIT(j);
    printf("node %d calls %d silent\n", i, j);
#ifdef SILENT_RETURNS
    a_ = ID(i, 0);
    do
    :: a_ == ID(i, STEPS) -> break
    :: else ->
        weight[i] = (UNRELEASED(a_) && to[a_] == j -> weight[i] + share[a_] : weight[i]);
        a_++
    od;
    a_ = 0
#endif
}

active [NODES] proctype Node() {
    do
    :: atomic { RUNS(_pid) && phase[_pid] == TAKE && HAS(was_silent, _pid) && ANY_MEMBER(IS_FAR_AHEAD, _pid) ->
        was_silent = was_silent & ~BIT(_pid);
        d_step { pass_over(_pid); pass_over(_pid) }
        do
        :: ANY_MEMBER(IS_AHEAD, _pid) -> d_step { pass_over(_pid) }
        :: break
        od }
    :: d_step { RUNS(_pid) && phase[_pid] == TAKE && step[_pid] < STEPS ->
        take_view(_pid);
        if
        :: CAN_PUSH(_pid) -> push(_pid)
        :: else -> phase[_pid] = PUSH
        fi }
    :: d_step { RUNS(_pid) && phase[_pid] == PUSH && CAN_PUSH(_pid) -> push(_pid) }
    :: d_step { RUNS(_pid) && phase[_pid] == WAIT && RELEASED(_pid, sender[_pid], step[_pid]) ->
        ABSORB_AT_END(_pid);
        sender[_pid] = NOBODY;
        phase[_pid] = TAKE;
        step[_pid]++;
        printf("node %d is in step %d\n", _pid, step[_pid]) }
    EACH_MEMBER(LEARN)
    EACH_MEMBER(SUSPECT)
    EACH_MEMBER(TRUST)
#ifdef PLAN_AT_K
    EACH_MEMBER(LEARN_LATER)
    EACH_MEMBER(MERGE)
#endif
    od
}

/* The messages of one node: they arrive, or are torn if it has died. */
/* A late message is taken in any wait, that of the present step once the node has pushed. */
#define IN_TIME(i, k) \
    (RUNS(i) && (step[i] == STEPS || k < step[i] && phase[i] != TAKE || k == step[i] && phase[i] == WAIT))
#if defined(ABSORB_AFTER_WAIT)
#define ARRIVE(k) \
    d_step { state[ID(me, k)] == UNDER_WAY && !HAS(dead | cut[me], to[ID(me, k)]) -> \
        state[ID(me, k)] = HERE; printf("step %d of %d arrives at %d\n", k, me, to[ID(me, k)]) } \
    :: d_step { state[ID(me, k)] == HERE && RUNS(to[ID(me, k)]) && step[to[ID(me, k)]] == STEPS -> \
        absorb(to[ID(me, k)], ID(me, k)) }
#elif defined(ONLY_EXPECTED)
#define ARRIVE(k) \
    d_step { state[ID(me, k)] == UNDER_WAY && !HAS(cut[me], to[ID(me, k)]) && IN_TIME(to[ID(me, k)], k) && \
        step[to[ID(me, k)]] == k && sender[to[ID(me, k)]] == me -> absorb(to[ID(me, k)], ID(me, k)) }
#else
#define ARRIVE(k) \
    d_step { state[ID(me, k)] == UNDER_WAY && !HAS(cut[me], to[ID(me, k)]) && IN_TIME(to[ID(me, k)], k) -> \
        absorb(to[ID(me, k)], ID(me, k)) }
#endif
#define TEAR(k) \
    d_step { state[ID(me, k)] == UNDER_WAY && HAS(dead, me) -> \
        removed = removed + share[ID(me, k)]; share[ID(me, k)] = 0; state[ID(me, k)] = TORN; \
        printf("step %d of %d is torn\n", k, me) }

active [NODES] proctype Wire() {
#define me (_pid - NODES)
    do
    EACH_STEP(ARRIVE)
    EACH_STEP(TEAR)
    od
#undef me
}

/* What is left of a dead node: its messages to live nodes, and those that live nodes have sent to it. */
inline die(d) {
    printf("node %d dies in step %d\n", d, step[d]);
    removed = removed + weight[d];
    step[d] = 0; phase[d] = TAKE; receiver[d] = NOBODY; sender[d] = NOBODY;
    weight[d] = 0; known[d] = 0; silent[d] = 0;
    was_silent = was_silent & ~BIT(d);
    hung = hung & ~BIT(d);
    resuming = resuming & ~BIT(d);
    dead = dead | BIT(d);
    a_ = 0;
    do
    :: a_ == MESSAGES -> break
    :: else ->
        if
        :: UNRELEASED(a_) && HAS(dead, a_ / STEPS) && HAS(dead, to[a_]) ->
            removed = removed + share[a_];
            share[a_] = 0;
            state[a_] = GONE
        :: else
        fi;
        a_++
    od;
    a_ = 0;
#ifdef PLAN_AT_K
    do
    :: a_ == NODES -> break
    :: else -> until[d * NODES + a_] = 0; a_++
    od;
#endif
    a_ = 0
}

#define IS_FIRST \
    (deaths == DEATHS && hangs == HANGS && doubts == DOUBTS && cuts == CUTS && one_way_cuts == ONE_WAY_CUTS)
#define MAY_HAPPEN_TO(i) (i == 0 || !IS_FIRST)

#define DIE(d) d_step { deaths > 0 && MAY_HAPPEN_TO(d) && !HAS(dead, d) -> deaths--; die(d) }
#define HANG(d) \
    d_step { hangs > 0 && MAY_HAPPEN_TO(d) && !HAS(dead | hung, d) -> \
        hangs--; hung = hung | BIT(d); printf("node %d hangs for good\n", d) } \
    :: d_step { hangs > 0 && MAY_HAPPEN_TO(d) && !HAS(dead | hung, d) -> \
        hangs--; hung = hung | BIT(d); resuming = resuming | BIT(d); printf("node %d hangs for a while\n", d) }
#define RESUME(d) \
    d_step { HAS(resuming, d) -> hung = hung & ~BIT(d); resuming = resuming & ~BIT(d); printf("node %d resumes\n", d) }
#define OTHERS(ACTION, i) ACTION(i, (i + 1) % NODES) :: ACTION(i, (i + 2) % NODES) :: ACTION(i, (i + 3) % NODES)
#define DOUBT_OF(i, j) \
    d_step { doubts > 0 && MAY_HAPPEN_TO(i) && i != j && RUNS(i) && !HAS(dead | silent[i], j) -> \
        doubts--; suspect(i, j) }
#define CUT_OF(i, j) \
    d_step { cuts > 0 && MAY_HAPPEN_TO(i) && i != j && !HAS(dead, i) && !HAS(dead, j) -> \
        cuts--; cut_off(i, j, true, false) } \
    :: d_step { cuts > 0 && MAY_HAPPEN_TO(i) && i != j && !HAS(dead, i) && !HAS(dead, j) -> \
        cuts--; cut_off(i, j, true, true) }
#define CUT_ONE_WAY_OF(i, j) \
    d_step { one_way_cuts > 0 && MAY_HAPPEN_TO(i) && i != j && !HAS(dead, i) && !HAS(dead, j) -> \
        one_way_cuts--; cut_off(i, j, false, false) } \
    :: d_step { one_way_cuts > 0 && MAY_HAPPEN_TO(i) && i != j && !HAS(dead, i) && !HAS(dead, j) -> \
        one_way_cuts--; cut_off(i, j, false, true) }
#define HEAL_OF(i, j) \
    d_step { HAS(healing[i], j) -> \
        cut[i] = cut[i] & ~BIT(j); cut[j] = cut[j] & ~BIT(i); \
        healing[i] = healing[i] & ~BIT(j); healing[j] = healing[j] & ~BIT(i); \
        printf("%d and %d reach each other again\n", i, j) }
#define DOUBT(i) OTHERS(DOUBT_OF, i)
#define CUT(i) OTHERS(CUT_OF, i)
#define CUT_ONE_WAY(i) OTHERS(CUT_ONE_WAY_OF, i)
#define HEAL(i) OTHERS(HEAL_OF, i)

inline cut_off(i, j, both, heals) {
    cut[i] = cut[i] | BIT(j);
    healing[i] = (heals -> healing[i] | BIT(j) : healing[i]);
    cut[j] = (both -> cut[j] | BIT(i) : cut[j]);
    printf("%d no longer reaches %d (both ways: %d, for a while: %d)\n", i, j, both, heals)
}

/* The events. At any moment it may decide that there are no more. */
active proctype Fate() {
    byte deaths = DEATHS, hangs = HANGS, doubts = DOUBTS, cuts = CUTS, one_way_cuts = ONE_WAY_CUTS;
    do
    :: d_step { deaths + hangs + doubts + cuts + one_way_cuts > 0 ->
        deaths = 0; hangs = 0; doubts = 0; cuts = 0; one_way_cuts = 0 }
#if DEATHS
    EACH_MEMBER(DIE)
#endif
#if HANGS
    EACH_MEMBER(HANG)
    EACH_MEMBER(RESUME)
#endif
#if DOUBTS
    EACH_MEMBER(DOUBT)
#endif
#if CUTS
    EACH_MEMBER(CUT)
#endif
#if ONE_WAY_CUTS
    EACH_MEMBER(CUT_ONE_WAY)
#endif
#if CUTS || ONE_WAY_CUTS
    EACH_MEMBER(HEAL)
#endif
    od
}

/* Judges a state in which nothing more can happen. */
active proctype Check() {
    bool stuck, leak;
    byte mass;
    atomic { timeout -> d_step {
        mass = removed;
        a_ = 0;
        do
        :: a_ == NODES -> break
        :: else ->
            stuck = stuck || (RUNS(a_) && step[a_] < STEPS);
            mass = mass + weight[a_];
            a_++
        od;
        a_ = 0;
        do
        :: a_ == MESSAGES -> break
        :: else ->
            leak = leak || (UNRELEASED(a_) && (RUNS(to[a_]) && !HAS(cut[a_ / STEPS], to[a_]) ||
                HAS(dead, to[a_]) && RUNS(a_ / STEPS)));
            mass = mass + share[a_];
            a_++
        od;
        a_ = 0 }
        assert(!stuck);
        assert(!leak);
        assert(mass == NODES * WHOLE)
    }
}
