/* SPDX-License-Identifier: Apache-2.0 */
#include "books.h"

#include "transport/transport.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DOUBTS = 8, INCARNATIONS = 4 };

/* A message to one destination. */
typedef struct entry {
    uint64_t id, step;
    int dst;
    uint32_t incarnation; /* of its receiver */
    double weight;
    uint64_t all, received, released; /* chunks, as bits */
    bool late;                        /* a chunk came after the loss of the sender */
    bool returned, told;
} entry_t;

typedef struct account {
    sgp_transport_ops_t ops; /* first: a transport's table is an account */
    const sgp_transport_ops_t *real;
    books_t *books;
    int rank;
    uint32_t incarnation;
    entry_t *entries; /* (count) that this rank has sent */
    size_t count, room;
    double weight;              /* for certain */
    double doubts[MOST_DOUBTS]; /* weights that may have been added as well */
    int doubts_count;
    double least_kept;
    bool averages;
    uint32_t without
        [SCENARIO_SEATS]; /* 1 + incarnation of a member that was not in the last exact average; 0: none */
} account_t;

struct books {
    pthread_mutex_t lock;
    account_t accounts[SCENARIO_SEATS][INCARNATIONS]; /* of the members of a seat */
    int latest[SCENARIO_SEATS];
    const scenario_t *scenario;
    FILE *trace;
    char breach[160]; /* "": none */
};

static account_t *account_of(const sgp_transport_t *transport) {
    return (account_t *)(void *)(uintptr_t)transport->ops;
}

__attribute__((format(printf, 2, 3))) static void breach(books_t *books, const char *format, ...) {
    va_list arguments;
    if (*books->breach) return;
    va_start(arguments, format);
    vsnprintf(books->breach, sizeof books->breach, format, arguments);
    va_end(arguments);
}

static double now_ms(sgp_transport_t *transport) {
    return (double)account_of(transport)->real->now(transport) / SCENARIO_MS;
}

bool books_killed(sgp_transport_t *transport) {
    return account_of(transport)->real->now(transport) == UINT64_MAX;
}

/* NULL: no such message, as those of other kinds. */
static account_t *present(books_t *books, int rank) {
    return &books->accounts[rank][books->latest[rank]];
}

/* The sender of a message. */
static account_t *sender_of(books_t *books, const sgp_header_t *header) {
    return &books->accounts[header->src][header->incarnation % INCARNATIONS];
}

/* Whether it is lost, as a receiver sees it. */
static bool is_lost(const sgp_transport_t *transport, const sgp_header_t *header) {
    return sgp_fates_of(transport->fates, header->src).state == SGP_FATE_LOST ||
           sgp_fates_incarnation(transport->fates, header->src) != header->incarnation;
}

static entry_t *find(account_t *sender, uint64_t id, int dst) {
    for (size_t i = sender->count; i-- > 0 && sender->entries[i].id >= id;) /* ascending */
        if (sender->entries[i].id == id && sender->entries[i].dst == dst)
            return &sender->entries[i];
    return NULL;
}

static uint64_t bit_of(const sgp_transport_t *transport, const sgp_header_t *header) {
    size_t chunk = sgp_encoding_fit(header->encoding, transport->chunk_bytes);
    return (uint64_t)1 << (header->offset / chunk);
}

/* ---- sending ---- */

static void add_entry(account_t *account, const sgp_transport_t *transport, const sgp_send_t *send,
                      int destination, uint64_t chunks) {
    if (account->count == account->room) {
        account->room = account->room ? 2 * account->room : 256;
        account->entries = realloc(account->entries, account->room * sizeof *account->entries);
        if (!account->entries) abort();
    }
    account->entries[account->count++] = (entry_t){
        .id = send->header.id,
        .step = send->header.step,
        .dst = send->to[destination].dst,
        .incarnation = sgp_fates_incarnation(transport->fates, send->to[destination].dst),
        .weight = send->to[destination].weight,
        .all = ((uint64_t)1 << chunks) - 1,
    };
    account->weight -= send->to[destination].weight;
}

/* The first commit fixes the weights. */
static void open_message(account_t *account, const sgp_transport_t *transport,
                         const sgp_send_t *send) {
    double before = account->weight;
    bool more = false;
    uint64_t chunks = sgp_chunks_of(transport, send->header.encoding, send->header.count);
    for (int i = 0; i < send->destinations; i++) {
        add_entry(account, transport, send, i, chunks);
        more |= send->to[i].weight > before * (1.0 / 1024) * (1 + 1e-9);
    }
    if (more && account->doubts_count == 0)
        account->least_kept = fmin(account->least_kept, account->weight);
}

static void tell(books_t *books, sgp_transport_t *transport, const char *what, int other,
                 const entry_t *entry) {
    if (books->trace)
        fprintf(books->trace, "%10.3f ms  node %d %s node %d, step %" PRIu64 ", weight %.6g\n",
                now_ms(transport), transport->rank, what, other, entry->step, entry->weight);
}

static void watched_commit(sgp_transport_t *transport, sgp_send_t *send) {
    account_t *account = account_of(transport);
    bool push = send->header.kind == SGP_KIND_PUSH;
    sgp_send_t begun = *send;
    pthread_mutex_lock(&account->books->lock);
    bool opens = push && send->destinations > 0 &&
                 !find(account, send->header.id, send->to[0].dst) && !books_killed(transport);
    pthread_mutex_unlock(&account->books->lock);
    account->real->send_commit(transport, send);
    if (!opens || books_killed(transport)) return;
    pthread_mutex_lock(&account->books->lock);
    open_message(account, transport, &begun);
    for (int i = 0; i < begun.destinations; i++)
        tell(account->books, transport, "sends to", begun.to[i].dst,
             find(account, begun.header.id, begun.to[i].dst));
    pthread_mutex_unlock(&account->books->lock);
}

/* One that was only silent may still have absorbed the message: it is no member any more. */
static bool is_struck_off(const sgp_transport_t *transport, const entry_t *entry) {
    sgp_fate_t fate = sgp_fates_of(transport->fates, entry->dst);
    if (sgp_fates_incarnation(transport->fates, entry->dst) != entry->incarnation) return true;
    return fate.state == SGP_FATE_LOST && fate.cause == SGP_CAUSE_SILENT;
}

static bool watched_take_back(sgp_transport_t *transport, uint32_t channel,
                              sgp_returned_t *returned) {
    account_t *account = account_of(transport);
    if (!account->real->take_back(transport, channel, returned)) return false;
    pthread_mutex_lock(&account->books->lock);
    entry_t *entry = find(account, returned->id, returned->dst);
    if (!entry || entry->returned || entry->weight != returned->weight)
        breach(account->books, "node %d: message %" PRIu64 " to node %d came back wrongly",
               transport->rank, returned->id, returned->dst);
    else if (entry->released == entry->all && !is_struck_off(transport, entry))
        breach(account->books,
               "node %d: message %" PRIu64 " to node %d came back, and was released",
               transport->rank, returned->id, returned->dst);
    else {
        entry->returned = true;
        account->weight += entry->weight;
        tell(account->books, transport, "takes back the weight of a message to", entry->dst, entry);
    }
    pthread_mutex_unlock(&account->books->lock);
    return true;
}

/* ---- receiving ---- */

static void received(account_t *account, sgp_transport_t *transport, const sgp_chunk_t *chunk) {
    books_t *books = account->books;
    entry_t *entry = find(sender_of(books, &chunk->header), chunk->header.id, account->rank);
    uint64_t bit = bit_of(transport, &chunk->header);
    if (!entry) {
        breach(books, "node %d received message %" PRIu64 " of node %d, which was not sent",
               account->rank, chunk->header.id, chunk->header.src);
        return;
    }
    if (entry->received & bit)
        breach(books, "node %d received a chunk of node %d twice", account->rank,
               chunk->header.src);
    if (chunk->header.weight != entry->weight)
        breach(books, "node %d received another weight than node %d sent", account->rank,
               chunk->header.src);
    entry->received |= bit;
    entry->late |= is_lost(transport, &chunk->header);
}

static sgp_status_t watched_receive(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    account_t *account = account_of(transport);
    sgp_status_t status = account->real->receive(transport, chunk);
    if (status != SGP_OK || chunk->header.kind != SGP_KIND_PUSH || books_killed(transport))
        return status;
    pthread_mutex_lock(&account->books->lock);
    received(account, transport, chunk);
    pthread_mutex_unlock(&account->books->lock);
    return status;
}

static void doubt(account_t *account, double weight) {
    if (account->doubts_count < MOST_DOUBTS) account->doubts[account->doubts_count++] = weight;
}

static void released(account_t *account, sgp_transport_t *transport, const sgp_header_t *header) {
    entry_t *entry = find(sender_of(account->books, header), header->id, account->rank);
    uint64_t bit = bit_of(transport, header);
    if (!entry || !(entry->received & bit))
        return; /* refused by the transport: nobody has seen it */
    entry->released |= bit;
    if (entry->released != entry->all || entry->told) return;
    entry->told = true;
    tell(account->books, transport, "has released all of the message from", header->src, entry);
    bool gone = is_lost(transport, header) ||
                sgp_fates_of(transport->fates, header->src).state == SGP_FATE_LEFT;
    /* A newcomer knows from its sponsor whom the last average was without, and the books do not. */
    bool newcomer = account->incarnation > 0 || account->rank >= account->books->scenario->nodes;
    bool may_drop = header->incarnation < account->without[header->src] || (gone && newcomer);
    if (!entry->late && !may_drop && !(gone && account->averages)) account->weight += entry->weight;
    else doubt(account, entry->weight);
}

static void watched_release(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    account_t *account = account_of(transport);
    sgp_header_t header = chunk->header;
    account->real->release(transport, chunk);
    if (header.kind != SGP_KIND_PUSH || books_killed(transport)) return;
    pthread_mutex_lock(&account->books->lock);
    released(account, transport, &header);
    pthread_mutex_unlock(&account->books->lock);
}

/* ---- the balance ---- */

void books_average(books_t *books, int rank) {
    pthread_mutex_lock(&books->lock);
    present(books, rank)->averages = true;
    pthread_mutex_unlock(&books->lock);
}

void books_averaged(books_t *books, int rank, const bool *there) {
    account_t *account = present(books, rank);
    pthread_mutex_lock(&books->lock);
    account->averages = false;
    for (int r = 0; r < SCENARIO_SEATS; r++) {
        const account_t *other = present(books, r);
        account->without[r] = there[r] || !other->real ? 0 : other->incarnation + 1;
    }
    pthread_mutex_unlock(&books->lock);
}

void books_check_returned(books_t *books, int rank, const bool *gone) {
    account_t *account = present(books, rank);
    pthread_mutex_lock(&books->lock);
    for (size_t i = 0; i < account->count; i++) {
        const entry_t *entry = &account->entries[i];
        if (gone[entry->dst] && !entry->returned && entry->released != entry->all)
            breach(books, "node %d: message %" PRIu64 " to node %d has not come back", rank,
                   entry->id, entry->dst);
    }
    pthread_mutex_unlock(&books->lock);
}

/* With rounds the weight of a torn message counts as soon as a chunk of it has been absorbed, which its release does not tell.
 * The receiver is between two steps: messages of which chunks were released, and others not, are torn. */
static void doubt_torn(books_t *books, account_t *account) {
    for (int a = 0; a < SCENARIO_SEATS * INCARNATIONS; a++) {
        account_t *sender = &books->accounts[a / INCARNATIONS][a % INCARNATIONS];
        for (size_t i = 0; i < sender->count; i++) {
            entry_t *entry = &sender->entries[i];
            if (entry->dst != account->rank || entry->incarnation != account->incarnation) continue;
            if (entry->told || !entry->released || entry->released == entry->all) continue;
            entry->told = true;
            doubt(account, entry->weight);
        }
    }
}

/* Whether the weight is the certain part with some of the doubtful ones. */
static bool is_some(const account_t *account, double weight) {
    for (unsigned set = 0; set < 1u << account->doubts_count; set++) {
        double sum = account->weight;
        for (int i = 0; i < account->doubts_count; i++)
            if (set >> i & 1) sum += account->doubts[i];
        if (fabs(sum - weight) <= 1e-9 * fmax(1, weight)) return true;
    }
    return false;
}

static void go_on_from(account_t *account, double weight) {
    account->weight = weight;
    account->doubts_count = 0;
}

bool books_agree(books_t *books, int rank, double weight, double *expected) {
    account_t *account = present(books, rank);
    pthread_mutex_lock(&books->lock);
    if (books->scenario->options.rounds > 1) doubt_torn(books, account);
    *expected = account->weight;
    bool agrees = is_some(account, weight);
    if (agrees) go_on_from(account, weight);
    pthread_mutex_unlock(&books->lock);
    return agrees;
}

double books_rescaled(books_t *books, int rank, double weight) {
    account_t *account = present(books, rank);
    pthread_mutex_lock(&books->lock);
    double factor = account->doubts_count ? NAN : weight / account->weight;
    go_on_from(account, weight);
    pthread_mutex_unlock(&books->lock);
    return factor;
}

double books_least_kept(books_t *books, int rank) {
    account_t *account = present(books, rank);
    pthread_mutex_lock(&books->lock);
    double least = account->least_kept;
    account->least_kept = INFINITY;
    pthread_mutex_unlock(&books->lock);
    return least;
}

const char *books_breach(books_t *books) {
    return *books->breach ? books->breach : NULL;
}

static const account_t *account_at(const books_t *books, int a) {
    return &books->accounts[a / INCARNATIONS][a % INCARNATIONS];
}

static bool is_torn(const entry_t *entry) {
    return entry->received && entry->received != entry->all;
}

int books_torn(const books_t *books) {
    int torn = 0;
    for (int a = 0; a < SCENARIO_SEATS * INCARNATIONS; a++)
        for (size_t i = 0; i < account_at(books, a)->count; i++)
            torn += is_torn(&account_at(books, a)->entries[i]);
    return torn;
}

int books_returned(const books_t *books) {
    int returned = 0;
    for (int a = 0; a < SCENARIO_SEATS * INCARNATIONS; a++)
        for (size_t i = 0; i < account_at(books, a)->count; i++)
            returned += account_at(books, a)->entries[i].returned;
    return returned;
}

/* ---- life ---- */

books_t *books_create(const scenario_t *scenario, FILE *trace) {
    books_t *books = calloc(1, sizeof *books);
    if (!books) abort();
    pthread_mutex_init(&books->lock, NULL);
    books->scenario = scenario;
    books->trace = trace;
    return books;
}

void books_destroy(books_t *books) {
    for (int a = 0; a < SCENARIO_SEATS * INCARNATIONS; a++) free(account_at(books, a)->entries);
    pthread_mutex_destroy(&books->lock);
    free(books);
}

void books_watch(books_t *books, sgp_transport_t *transport) {
    int member = (int)(transport->incarnation % INCARNATIONS);
    account_t *account = &books->accounts[transport->rank][member];
    books->latest[transport->rank] = member;
    account->ops = *transport->ops;
    account->real = transport->ops;
    account->books = books;
    account->rank = transport->rank;
    account->incarnation = transport->incarnation;
    account->weight = 1;
    account->least_kept = INFINITY;
    account->ops.send_commit = watched_commit;
    account->ops.take_back = watched_take_back;
    account->ops.receive = watched_receive;
    account->ops.release = watched_release;
    transport->ops = &account->ops;
}
