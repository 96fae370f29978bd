/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled into a module, once for each MPI library (mpi_binding.h). */
#include "transport/mpi/mpi_binding.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

struct sgp_mpi_comm {
    MPI_Comm comm;
    MPI_Request *requests; /* (capacity) the first `count` are under way */
    void **cookies;        /* (capacity) of the requests */
    void **finished;       /* (capacity) the result of test */
    int *indices;          /* (capacity) for MPI_Testsome, as is the next */
    MPI_Status *statuses;  /* instead of MPI_STATUSES_IGNORE: MPICH's makes gcc warn */
    int count, capacity;
};

_Static_assert(sizeof(MPI_Message) <= sizeof(uint64_t), "a message's handle fits");

static int start(sgp_mpi_state_t *state) {
    int initialized, finalized, level = MPI_THREAD_SINGLE, is_main = 0;
    *state = (sgp_mpi_state_t){0};
    int code = MPI_Finalized(&finalized);
    state->finalized = !code && finalized;
    if (code || finalized) return code;
    code = MPI_Initialized(&initialized);
    if (code) return code;
    if (!initialized) code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level);
    else code = MPI_Query_thread(&level);
    if (!code) code = MPI_Is_thread_main(&is_main);
    if (code) return code;
    state->ours = !initialized;
    state->any_thread = level >= MPI_THREAD_SERIALIZED;
    state->main = is_main;
    return MPI_SUCCESS;
}

static int end(void) {
    return MPI_Finalize();
}

/* ---- communicators ---- */

static void destroy(sgp_mpi_comm_t *comm) {
    if (comm->comm != MPI_COMM_NULL && comm->count == 0) MPI_Comm_free(&comm->comm);
    free(comm->requests);
    free(comm->cookies);
    free(comm->finished);
    free(comm->indices);
    free(comm->statuses);
    free(comm);
}

static int create(sgp_mpi_comm_t *parent, int part, int key, sgp_mpi_comm_t **comm) {
    sgp_mpi_comm_t *made = calloc(1, sizeof *made);
    if (!made) return MPI_ERR_NO_MEM;
    made->comm = MPI_COMM_NULL;
    int color = part < 0 ? MPI_UNDEFINED : part;
    int code = parent ? MPI_Comm_split(parent->comm, color, key, &made->comm)
                      : MPI_Comm_dup(MPI_COMM_WORLD, &made->comm);
    bool member = !code && made->comm != MPI_COMM_NULL;
    if (member) code = MPI_Comm_set_errhandler(made->comm, MPI_ERRORS_RETURN);
    if (code || !member) {
        destroy(made);
        made = NULL;
    }
    if (!code) *comm = made;
    return code;
}

static int place(sgp_mpi_comm_t *comm, int *rank, int *size) {
    int code = MPI_Comm_rank(comm->comm, rank);
    return code ? code : MPI_Comm_size(comm->comm, size);
}

static int gather(sgp_mpi_comm_t *comm, const void *mine, int bytes, void *all) {
    return MPI_Allgather(mine, bytes, MPI_BYTE, all, bytes, MPI_BYTE, comm->comm);
}

static int sum(sgp_mpi_comm_t *comm, float *values, size_t count) {
    int code = MPI_SUCCESS;
    for (size_t done = 0; done < count && !code;) {
        size_t left = count - done;
        int some = left < INT_MAX / 2 ? (int)left : INT_MAX / 2;
        code = MPI_Allreduce(MPI_IN_PLACE, values + done, some, MPI_FLOAT, MPI_SUM, comm->comm);
        done += (size_t)some;
    }
    return code;
}

/* ---- requests ---- */

/* Array by array, so that a failure leaves all of them valid. */
static bool grow(sgp_mpi_comm_t *comm) {
    size_t wanted = comm->capacity ? 2 * (size_t)comm->capacity : 64;
    MPI_Request *requests = realloc(comm->requests, wanted * sizeof *requests);
    if (requests) comm->requests = requests;
    void **cookies = realloc(comm->cookies, wanted * sizeof *cookies);
    if (cookies) comm->cookies = cookies;
    void **finished = realloc(comm->finished, wanted * sizeof *finished);
    if (finished) comm->finished = finished;
    int *indices = realloc(comm->indices, wanted * sizeof *indices);
    if (indices) comm->indices = indices;
    MPI_Status *statuses = realloc(comm->statuses, wanted * sizeof *statuses);
    if (statuses) comm->statuses = statuses;
    if (!requests || !cookies || !finished || !indices || !statuses) return false;
    comm->capacity = (int)wanted;
    return true;
}

/* The place of the next request. */
static MPI_Request *next_request(sgp_mpi_comm_t *comm) {
    if (comm->count == comm->capacity && !grow(comm)) return NULL;
    return &comm->requests[comm->count];
}

static int keep(sgp_mpi_comm_t *comm, int code, void *cookie) {
    if (code) return code;
    comm->cookies[comm->count++] = cookie;
    return MPI_SUCCESS;
}

static int send(sgp_mpi_comm_t *comm, const void *buffer, size_t bytes, int dst, int tag,
                void *cookie) {
    MPI_Request *request = next_request(comm);
    if (!request) return MPI_ERR_NO_MEM;
    return keep(comm, MPI_Isend(buffer, (int)bytes, MPI_BYTE, dst, tag, comm->comm, request),
                cookie);
}

static int receive(sgp_mpi_comm_t *comm, const sgp_mpi_message_t *message, void *buffer,
                   void *cookie) {
    MPI_Request *request = next_request(comm);
    if (!request) return MPI_ERR_NO_MEM;
    MPI_Message handle;
    memcpy(&handle, &message->handle, sizeof handle);
    return keep(comm, MPI_Imrecv(buffer, (int)message->bytes, MPI_BYTE, &handle, request), cookie);
}

static int probe(sgp_mpi_comm_t *comm, sgp_mpi_message_t *message, bool *found) {
    int flag = 0, bytes = 0;
    MPI_Message handle;
    MPI_Status status;
    int code = MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm->comm, &flag, &handle, &status);
    *found = !code && flag;
    if (!*found) return code;
    code = MPI_Get_count(&status, MPI_BYTE, &bytes);
    *message = (sgp_mpi_message_t){
        .src = status.MPI_SOURCE, .tag = status.MPI_TAG, .bytes = (size_t)bytes};
    memcpy(&message->handle, &handle, sizeof handle);
    return code;
}

/* Removes completed requests and keeps the order of the others: the oldest are tested first. */
static void compact(sgp_mpi_comm_t *comm) {
    int kept = 0;
    for (int i = 0; i < comm->count; i++) {
        if (comm->requests[i] == MPI_REQUEST_NULL) continue;
        comm->requests[kept] = comm->requests[i];
        comm->cookies[kept++] = comm->cookies[i];
    }
    comm->count = kept;
}

static int test(sgp_mpi_comm_t *comm, void ***cookies, int *count) {
    int done = 0;
    *count = 0;
    if (comm->count == 0) return MPI_SUCCESS;
    int code = MPI_Testsome(comm->count, comm->requests, &done, comm->indices, comm->statuses);
    if (code || done == MPI_UNDEFINED || done == 0) return code;
    for (int i = 0; i < done; i++) comm->finished[i] = comm->cookies[comm->indices[i]];
    compact(comm);
    *cookies = comm->finished;
    *count = done;
    return MPI_SUCCESS;
}

static int pending(const sgp_mpi_comm_t *comm) {
    return comm->count;
}

static void describe(int code, char *text, size_t room) {
    char full[MPI_MAX_ERROR_STRING + 1] = "";
    int length = 0;
    if (MPI_Error_string(code, full, &length) != MPI_SUCCESS) length = 0;
    size_t most = (size_t)length < room ? (size_t)length : room - 1;
    memcpy(text, full, most);
    text[most] = '\0';
}

extern const sgp_mpi_binding_t SGP_MPI_BINDING;

__attribute__((visibility("default"))) const sgp_mpi_binding_t SGP_MPI_BINDING = {
    .start = start,
    .end = end,
    .create = create,
    .place = place,
    .destroy = destroy,
    .gather = gather,
    .sum = sum,
    .send = send,
    .receive = receive,
    .probe = probe,
    .test = test,
    .pending = pending,
    .describe = describe,
};
