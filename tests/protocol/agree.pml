/* SPDX-License-Identifier: Apache-2.0 */
/* agree (docs/membership.md, "Collectives", rules 1 to 4): an all-gather among survivors, with nodes that die at any
 * moment.
 *
 * Proved for the bounds below, in every order of events:
 *   stuck      every live node returns from every call
 *   agreement  a node returns the same set as each live node that has returned before it
 *
 * A payload is left out: that of a member never changes in a call, so that equal sets have equal payloads. The links
 * are queues in order. What a dead node has sent arrives up to an unknown place in the queue and no further; so a node
 * that dies in the middle of sending to all has reached some of them. A node detects each death at an unknown moment.
 * From then on it accepts nothing more from the dead member.
 *
 * All nodes are alike. So the first to die is node 0, the second is node 1.
 *
 * Bounds:    NODES, CALLS, DEATHS.
 * Rejected rules, each with a counterexample:
 *   GATHER       a node returns as soon as it has a STATE of each live member
 *   RESTART      a death restarts the call; a node that has returned does not answer (rules 3 and 4 are missing)
 *   NOT_PASSED   an adopted DECIDED is not passed on (rule 4)
 *   FROM_DEAD    what a dead member has sent is accepted after its death is known */
#ifndef NODES
#define NODES 3
#endif
#ifndef CALLS
#define CALLS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#define DEPTH 8 /* messages in a link; a full link ends the search with an error */

#define ALL ((1 << NODES) - 1)
#define BIT(i) (1 << (i))
#define HAS(set, i) (((set) >> (i)) & 1)
#define LINK(from, to) link[(from) * NODES + (to)]
#define STATE_OF(i, j) ((i) * NODES + (j))

/* A message is one byte: the set, the call, and whether it is DECIDED or STATE. */
#define MESSAGE(decided, call, set) ((set) | (call) << NODES | (decided) << (NODES + 1))
#define SET(message) ((message) & ALL)
#define CALL(message) ((message) >> NODES & 1)
#define DECIDED(message) ((message) >> (NODES + 1))

#if NODES == 3
#define EACH_MEMBER(ACTION) :: ACTION(0) :: ACTION(1) :: ACTION(2)
#elif NODES == 4
#define EACH_MEMBER(ACTION) :: ACTION(0) :: ACTION(1) :: ACTION(2) :: ACTION(3)
#else
#error "NODES is 3 or 4"
#endif
#if CALLS > 2
#error "CALLS is 1 or 2"
#endif

chan link[NODES * NODES] = [DEPTH] of { byte };
byte dead;                   /* the truth */
byte live[NODES] = ALL;      /* the set of live members in the node's view */
byte call[NODES];            /* the call that the node is in, or will begin next */
bool begun[NODES];
byte last[NODES * NODES];    /* the set in the last STATE of this call, by node and sender; 0: none */
byte result[NODES * CALLS];  /* what the node has returned; 0: nothing yet */
#if CALLS > 1
byte early[NODES * NODES];   /* as last, of the next call */
#endif

hidden byte a_, b_, ready_, message_; /* scratch of actions, which nothing interrupts: no part of a state */

#define RUNS(i) (!HAS(dead, i))

inline send(from, to, message) {
    if
    :: HAS(dead, to) -> skip
    :: else -> LINK(from, to)!message
    fi
}

inline send_state(i) {
    printf("node %d sends STATE with set %d in call %d\n", i, live[i], call[i]);
    a_ = 0;
    do
    :: a_ == NODES -> break
    :: else ->
        if
        :: a_ != i && HAS(live[i], a_) -> send(i, a_, MESSAGE(0, call[i], live[i]))
        :: else
        fi;
        a_++
    od;
    a_ = 0
}

inline come_back(i, set) {
    printf("node %d returns set %d from call %d\n", i, set, call[i]);
    result[i * CALLS + call[i]] = set;
    a_ = 0;
    do
    :: a_ == NODES -> break
    :: else ->
        b_ = result[a_ * CALLS + call[i]];
        assert(b_ == 0 || b_ == set); /* agreement */
#if CALLS > 1
        last[STATE_OF(i, a_)] = early[STATE_OF(i, a_)];
        early[STATE_OF(i, a_)] = 0;
#else
        last[STATE_OF(i, a_)] = 0;
#endif
        a_++
    od;
    begun[i] = false;
    call[i]++
}

/* Rule 2. */
inline decide(i) {
    ready_ = begun[i];
    a_ = 0;
    do
    :: a_ == NODES -> break
    :: else ->
        if
#ifdef GATHER
        :: a_ != i && HAS(live[i], a_) && last[STATE_OF(i, a_)] == 0 -> ready_ = false
#else
        :: a_ != i && HAS(live[i], a_) && last[STATE_OF(i, a_)] != live[i] -> ready_ = false
#endif
        :: else
        fi;
        a_++
    od;
    if
    :: ready_ -> come_back(i, live[i])
    :: else
    fi;
    a_ = 0
}

/* Rule 4. */
inline adopt(i, set) {
    a_ = 0;
    do
    :: a_ == NODES -> break
    :: else ->
        if
#ifndef NOT_PASSED
        :: a_ != i && HAS(live[i], a_) && last[STATE_OF(i, a_)] != 0 && last[STATE_OF(i, a_)] != set ->
            printf("node %d passes DECIDED with set %d on to %d\n", i, set, a_);
            send(i, a_, MESSAGE(1, call[i], set))
#endif
        :: else
        fi;
        a_++
    od;
    come_back(i, set)
}

inline take_message(i, j) {
    LINK(j, i)?message_;
    if
    :: DECIDED(message_) -> printf("node %d receives DECIDED with set %d from %d\n", i, SET(message_), j)
    :: else -> printf("node %d receives STATE with set %d from %d\n", i, SET(message_), j)
    fi;
    if
    :: DECIDED(message_) && CALL(message_) == call[i] && begun[i] -> adopt(i, SET(message_))
    :: DECIDED(message_) && !(CALL(message_) == call[i] && begun[i]) -> skip
    :: !DECIDED(message_) && CALL(message_) == call[i] -> last[STATE_OF(i, j)] = SET(message_)
#if CALLS > 1
    :: !DECIDED(message_) && CALL(message_) == call[i] + 1 -> early[STATE_OF(i, j)] = SET(message_)
#endif
    :: !DECIDED(message_) && CALL(message_) + 1 == call[i] -> /* rule 3 */
#if !defined(RESTART) && !defined(GATHER)
        send(i, j, MESSAGE(1, CALL(message_), result[i * CALLS + CALL(message_)]))
#else
        skip
#endif
    fi;
    message_ = 0;
    decide(i)
}

inline drop_all(j, i) {
    do
    :: nempty(LINK(j, i)) -> LINK(j, i)?message_
    :: empty(LINK(j, i)) -> break
    od;
    message_ = 0
}

#ifdef FROM_DEAD
#define DROP(j, i) skip
#define LOSE(j) :: d_step { HAS(dead, j) && nempty(LINK(j, _pid)) -> drop_all(j, _pid) }
#define ACCEPTS(i, j) true
#else
#define DROP(j, i) drop_all(j, i)
#define LOSE(j)
#define ACCEPTS(i, j) HAS(live[i], j)
#endif

#define RECEIVE(j) \
    d_step { RUNS(_pid) && ACCEPTS(_pid, j) && nempty(LINK(j, _pid)) -> take_message(_pid, j) }
#define LEARN(j) \
    d_step { RUNS(_pid) && HAS(dead & live[_pid], j) -> \
        printf("node %d learns that %d is dead\n", _pid, j); \
        live[_pid] = live[_pid] & ~BIT(j); \
        DROP(j, _pid); \
        if \
        :: begun[_pid] -> send_state(_pid) \
        :: else \
        fi; \
        decide(_pid) } \
    LOSE(j)

active [NODES] proctype Node() {
    do
    :: d_step { RUNS(_pid) && !begun[_pid] && call[_pid] < CALLS ->
        begun[_pid] = true;
        send_state(_pid);
        decide(_pid) }
    EACH_MEMBER(RECEIVE)
    EACH_MEMBER(LEARN)
    od
}

inline die(d) {
    printf("node %d dies\n", d);
    dead = dead | BIT(d);
    live[d] = 0; call[d] = 0; begun[d] = false;
    b_ = 0;
    do
    :: b_ == NODES -> break
    :: else ->
        last[STATE_OF(d, b_)] = 0;
#if CALLS > 1
        early[STATE_OF(d, b_)] = 0;
#endif
        drop_all(b_, d);
        if
        :: HAS(dead, b_) -> drop_all(d, b_)
        :: else
        fi;
        b_++
    od;
    b_ = 0;
    do
    :: b_ == CALLS -> break
    :: else -> result[d * CALLS + b_] = 0; b_++
    od;
    b_ = 0
}

/* At any moment there may be no more deaths. */
active proctype Fate() {
    byte deaths;
    do
    :: d_step { deaths < DEATHS -> die(deaths); deaths++ }
    :: d_step { deaths < DEATHS -> deaths = DEATHS }
    od
}

/* Judges a state in which nothing more can happen. */
active proctype Check() {
    bool stuck;
    atomic { timeout -> d_step {
        a_ = 0;
        do
        :: a_ == NODES -> break
        :: else -> stuck = stuck || (RUNS(a_) && call[a_] < CALLS); a_++
        od;
        a_ = 0 }
        assert(!stuck)
    }
}
