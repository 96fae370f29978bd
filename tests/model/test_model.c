/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of model.h, except for numbers (see test_network.c). */
#include "reference.h"

#include "model/layers/loss.h"
#include "model/model.h"

#include <pthread.h>
#include <sgp/log.h>

enum { BATCH = 6, SIDE = 12, CLASSES = 10, STEPS = 3 };

static const char *const NAMES[] = {"mlp", "lenet", "resnet20"};
enum { NAME_COUNT = sizeof NAMES / sizeof *NAMES };

typedef struct fixture {
    model_t *model;
    size_t count, buffer_count;
    float *parameters, *buffers, *gradient, *images;
    int32_t labels[BATCH];
} fixture_t;

static model_options_t options_of(const char *name) {
    return (model_options_t){.name = name,
                             .batch = BATCH,
                             .height = SIDE,
                             .width = SIDE,
                             .channels = 1,
                             .classes = CLASSES};
}

static void set_up(fixture_t *f, const char *name) {
    model_options_t options = options_of(name);
    assert_int_equal(model_create(&options, &f->model), SGP_OK);
    f->count = model_parameter_count(f->model);
    f->buffer_count = model_buffer_count(f->model);
    f->parameters = make_floats(f->count);
    f->buffers = make_floats(f->buffer_count);
    f->gradient = make_random(f->count, 1, 1.0);
    f->images = make_random(BATCH * SIDE * SIDE, 3, 1.0);
    for (int i = 0; i < BATCH; i++) f->labels[i] = i * 3 % CLASSES;
    model_init_parameters(f->model, 7, f->parameters, f->buffers);
}

static void tear_down(fixture_t *f) {
    model_destroy(f->model);
    free(f->parameters), free(f->buffers), free(f->gradient), free(f->images);
}

static sgp_status_t train(fixture_t *f, int count, int valid, model_result_t *result) {
    return model_train(f->model, f->parameters, f->buffers, f->images, f->labels, count, valid,
                       f->gradient, result);
}

static void steps(fixture_t *f) {
    for (int i = 0; i < STEPS; i++) {
        model_result_t result;
        assert_int_equal(train(f, BATCH, BATCH, &result), SGP_OK);
        for (size_t j = 0; j < f->count; j++) f->parameters[j] -= 0.05f * f->gradient[j];
    }
}

static void assert_same_state(const fixture_t *a, const fixture_t *b) {
    assert_memory_equal(a->parameters, b->parameters, a->count * sizeof(float));
    assert_memory_equal(a->gradient, b->gradient, a->count * sizeof(float));
    if (a->buffer_count)
        assert_memory_equal(a->buffers, b->buffers, a->buffer_count * sizeof(float));
}

static void keep_line(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)rank;
    snprintf(user, 256, "%s", line);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    char line[256] = "";
    sgp_log_set(keep_line, line, SGP_LOG_ERROR);
    model_t *const untouched = (model_t *)line;
    model_t *model = untouched;
    model_options_t options = options_of("alexnet");
    assert_int_equal(model_create(&options, &model), SGP_ERR_INVALID);
    assert_non_null(strstr(line, "alexnet"));
    assert_non_null(strstr(line, "resnet20"));
    options.name = NULL;
    assert_int_equal(model_create(&options, &model), SGP_ERR_INVALID);
    options.name = "mlp";
    const struct {
        int *option;
        int bad;
    } cases[] = {{&options.batch, 0},      {&options.batch, -3},   {&options.height, 0},
                 {&options.width, 0},      {&options.channels, 0}, {&options.classes, 1},
                 {&options.width, 1 << 30}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int good = *cases[i].option;
        *cases[i].option = cases[i].bad;
        assert_int_equal(model_create(&options, &model), SGP_ERR_INVALID);
        *cases[i].option = good;
    }
    const double smoothings[] = {-0.1, 1.1, (double)NAN};
    for (size_t i = 0; i < sizeof smoothings / sizeof *smoothings; i++) {
        options.label_smoothing = smoothings[i];
        assert_int_equal(model_create(&options, &model), SGP_ERR_INVALID);
        assert_non_null(strstr(line, "label smoothing"));
    }
    options.label_smoothing = 0.0;
    options.name = "lenet";
    options.height = 3; /* one pixel is left for the second pooling */
    assert_int_equal(model_create(&options, &model), SGP_ERR_INVALID);
    assert_non_null(strstr(line, "pool2"));
    assert_ptr_equal(model, untouched);
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
}

static void bad_calls_change_nothing(void **state) {
    (void)state;
    fixture_t f;
    set_up(&f, "resnet20");
    float *gradient = make_floats(f.count), *buffers = make_floats(f.buffer_count);
    memcpy(gradient, f.gradient, f.count * sizeof *gradient);
    memcpy(buffers, f.buffers, f.buffer_count * sizeof *buffers);
    model_result_t result;
    assert_int_equal(train(&f, 0, 0, &result), SGP_ERR_INVALID);
    assert_int_equal(train(&f, BATCH + 1, 1, &result), SGP_ERR_INVALID);
    assert_int_equal(train(&f, 2, 3, &result), SGP_ERR_INVALID);
    assert_int_equal(train(&f, 2, -1, &result), SGP_ERR_INVALID);
    f.labels[1] = CLASSES;
    assert_int_equal(train(&f, 2, 2, &result), SGP_ERR_INVALID);
    f.labels[1] = -1;
    assert_int_equal(
        model_evaluate(f.model, f.parameters, f.buffers, f.images, f.labels, 2, &result),
        SGP_ERR_INVALID);
    assert_memory_equal(gradient, f.gradient, f.count * sizeof *gradient);
    assert_memory_equal(buffers, f.buffers, f.buffer_count * sizeof *buffers);
    assert_int_equal(train(&f, 2, 1, &result), SGP_OK); /* only the valid need a label */
    free(gradient), free(buffers);
    tear_down(&f);
}

static void tensors_fill_the_vectors(void **state) {
    (void)state;
    for (int i = 0; i < NAME_COUNT; i++) {
        fixture_t f;
        set_up(&f, NAMES[i]);
        size_t next[2] = {0, 0};
        for (size_t j = 0; j < model_tensor_count(f.model); j++) {
            const model_tensor_t *t = model_tensor(f.model, j);
            assert_true(t->is_buffer || next[1] == 0); /* parameters first */
            assert_int_equal(t->offset, next[t->is_buffer]);
            next[t->is_buffer] += t->count;
            int64_t product = 1;
            for (int d = 0; d < t->dims; d++) product *= t->shape[d];
            assert_int_equal(product, t->count);
            for (size_t k = 0; k < j; k++)
                assert_string_not_equal(t->name, model_tensor(f.model, k)->name);
        }
        assert_int_equal(next[0], f.count);
        assert_int_equal(next[1], f.buffer_count);
        assert_null(model_tensor(f.model, model_tensor_count(f.model)));
        tear_down(&f);
    }
}

static const model_tensor_t *find(const model_t *model, const char *name) {
    for (size_t i = 0; i < model_tensor_count(model); i++)
        if (!strcmp(model_tensor(model, i)->name, name)) return model_tensor(model, i);
    fail_msg("no tensor %s", name);
    return NULL;
}

/* Counted by hand from the papers' descriptions, for 12 x 12 x 1 and 10 classes. */
static void known_sizes(void **state) {
    (void)state;
    static const size_t counts[NAME_COUNT][2] = {
        {144 * 256 + 256 + 256 * 256 + 256 + 2560 + 10, 0},
        {25 * 16 + 16 + 25 * 16 * 32 + 32 + 32 * 9 * 10 + 10, 0},
        {144 + 6 * 2304 + (4608 + 5 * 9216 + 512) + (18432 + 5 * 36864 + 2048) +
             2 * (7 * 16 + 7 * 32 + 7 * 64) + 650,
         2 * (7 * 16 + 7 * 32 + 7 * 64)},
    };
    for (int i = 0; i < NAME_COUNT; i++) {
        fixture_t f;
        set_up(&f, NAMES[i]);
        assert_int_equal(f.count, counts[i][0]);
        assert_int_equal(f.buffer_count, counts[i][1]);
        assert_non_null(strstr(model_names(), NAMES[i]));
        assert_true(model_known(NAMES[i]));
        tear_down(&f);
    }
    assert_string_equal(model_names(),
                        "mlp, lenet, resnet20, resnet32, resnet56, resnet18, resnet34, "
                        "resnet50, resnet101");
    assert_false(model_known("resnet"));
}

static void names_are_those_of_pytorch(void **state) {
    (void)state;
    fixture_t f;
    set_up(&f, "resnet20");
    const model_tensor_t *t = find(f.model, "layer2.0.conv1.weight");
    assert_int_equal(t->dims, 4);
    assert_int_equal(t->shape[0], 32);
    assert_int_equal(t->shape[1], 16);
    assert_int_equal(t->shape[2], 3);
    assert_true(t->decays);
    assert_false(find(f.model, "layer2.0.downsample.1.bias")->decays);
    assert_true(find(f.model, "layer1.0.bn1.running_mean")->is_buffer);
    assert_true(find(f.model, "layer1.0.bn1.running_var")->is_buffer);
    t = find(f.model, "fc.weight");
    assert_int_equal(t->shape[0], CLASSES);
    assert_int_equal(t->shape[1], 64);
    tear_down(&f);
}

static void check_initial_tensor(const fixture_t *f, const model_tensor_t *t) {
    const float *values = (t->is_buffer ? f->buffers : f->parameters) + t->offset;
    bool matrix = t->dims > 1, variance = strstr(t->name, "running_var") != NULL;
    bool scale = !matrix && strstr(t->name, ".weight") != NULL;
    float constant = scale || variance ? 1.0f : 0.0f;
    if (scale && strstr(t->name, "bn2")) constant = 0.0f;
    double squares = 0.0, inputs = (double)t->count / (double)t->shape[0];
    for (size_t j = 0; j < t->count; j++) {
        if (!matrix) assert_true(values[j] == constant);
        squares += (double)values[j] * (double)values[j];
    }
    if (!matrix) return;
    bool last = strncmp(t->name, "fc", 2) == 0 && t->shape[0] == CLASSES;
    double ratio = squares / (double)t->count / (last ? 1e-4 : 2.0 / inputs);
    assert_true(fabs(ratio - 1.0) < 6.0 * sqrt(2.0 / (double)t->count));
}

static void initial_values(void **state) {
    (void)state;
    for (int i = 0; i < NAME_COUNT; i++) {
        fixture_t f;
        set_up(&f, NAMES[i]);
        for (size_t j = 0; j < model_tensor_count(f.model); j++)
            check_initial_tensor(&f, model_tensor(f.model, j));
        float *again = make_random(f.count, 5, 1.0);
        model_init_parameters(f.model, 7, again, f.buffers);
        assert_memory_equal(again, f.parameters, f.count * sizeof *again);
        model_init_parameters(f.model, 8, again, f.buffers);
        assert_memory_not_equal(again, f.parameters, f.count * sizeof *again);
        free(again);
        tear_down(&f);
    }
}

static void same_bits_every_time(void **state) {
    (void)state;
    for (int i = 0; i < NAME_COUNT; i++) {
        fixture_t a, b;
        set_up(&a, NAMES[i]);
        steps(&a);
        set_up(&b, NAMES[i]);
        steps(&b);
        assert_same_state(&a, &b);
        tear_down(&a);
        tear_down(&b);
    }
}

static void *run_steps(void *fixture) {
    steps(fixture);
    return NULL;
}

/* Models in threads of one process give the same results as alone. */
static void several_threads(void **state) {
    (void)state;
    enum { THREADS = 6 };
    fixture_t alone[NAME_COUNT], together[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < NAME_COUNT; i++) {
        set_up(&alone[i], NAMES[i]);
        steps(&alone[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        set_up(&together[i], NAMES[i % NAME_COUNT]);
        assert_int_equal(pthread_create(&threads[i], NULL, run_steps, &together[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_same_state(&alone[i % NAME_COUNT], &together[i]);
        tear_down(&together[i]);
    }
    for (int i = 0; i < NAME_COUNT; i++) tear_down(&alone[i]);
}

/* Without batch norm, invalid and filling samples have no effect: the gradient is that of a smaller
 * model whose batch is the valid samples. */
static void only_the_valid_count(void **state) {
    (void)state;
    enum { VALID = 4, COUNT = 5 };
    for (int i = 0; i < 2; i++) {
        fixture_t f;
        set_up(&f, NAMES[i]);
        model_options_t options = options_of(NAMES[i]);
        options.batch = VALID;
        model_t *small;
        assert_int_equal(model_create(&options, &small), SGP_OK);
        model_result_t result, expected;
        float *gradient = make_floats(f.count);
        assert_int_equal(model_train(small, f.parameters, f.buffers, f.images, f.labels, VALID,
                                     VALID, gradient, &expected),
                         SGP_OK);
        assert_int_equal(train(&f, COUNT, VALID, &result), SGP_OK);
        double *exact = to_doubles(gradient, f.count);
        assert_close(NAMES[i], f.gradient, exact, f.count, 1e-5);
        assert_true(fabs(result.loss_sum - expected.loss_sum) < 1e-5);
        assert_int_equal(result.correct, expected.correct);
        free(gradient), free(exact);
        model_destroy(small);
        tear_down(&f);
    }
}

static void nothing_valid_gives_zeros(void **state) {
    (void)state;
    for (int i = 0; i < NAME_COUNT; i++) {
        fixture_t f;
        set_up(&f, NAMES[i]);
        model_result_t result;
        assert_int_equal(train(&f, 3, 0, &result), SGP_OK);
        assert_true(result.loss_sum == 0.0 && result.correct == 0);
        for (size_t j = 0; j < f.count; j++) assert_true(f.gradient[j] == 0.0f);
        tear_down(&f);
    }
}

/* Three samples repeated fill a batch of six exactly, so even batch norm sees the same mean. */
static void few_samples_are_repeated(void **state) {
    (void)state;
    fixture_t f, g;
    set_up(&f, "resnet20");
    set_up(&g, "resnet20");
    model_result_t result;
    assert_int_equal(train(&f, 3, 3, &result), SGP_OK);
    memcpy(g.images + 3 * SIDE * SIDE, g.images, 3 * SIDE * SIDE * sizeof(float));
    assert_int_equal(train(&g, 6, 3, &result), SGP_OK);
    assert_memory_equal(f.gradient, g.gradient, f.count * sizeof(float));
    assert_memory_equal(f.buffers, g.buffers, f.buffer_count * sizeof(float));
    tear_down(&f);
    tear_down(&g);
}

/* The loss of a sample in evaluation depends on no other sample. */
static void evaluation_adds_up(void **state) {
    (void)state;
    for (int i = 0; i < NAME_COUNT; i++) {
        fixture_t f;
        set_up(&f, NAMES[i]);
        steps(&f);
        float *buffers = make_floats(f.buffer_count);
        if (f.buffer_count) memcpy(buffers, f.buffers, f.buffer_count * sizeof *buffers);
        model_result_t all, one, sum = {0};
        assert_int_equal(
            model_evaluate(f.model, f.parameters, f.buffers, f.images, f.labels, BATCH, &all),
            SGP_OK);
        for (int j = 0; j < BATCH; j++) {
            assert_int_equal(model_evaluate(f.model, f.parameters, f.buffers,
                                            f.images + j * SIDE * SIDE, &f.labels[j], 1, &one),
                             SGP_OK);
            sum.loss_sum += one.loss_sum;
            sum.correct += one.correct;
        }
        assert_true(fabs(sum.loss_sum - all.loss_sum) < 1e-5);
        assert_int_equal(sum.correct, all.correct);
        if (f.buffer_count)
            assert_memory_equal(buffers, f.buffers, f.buffer_count * sizeof *buffers);
        free(buffers);
        tear_down(&f);
    }
}

/* In training alone; the logits are those of the pass. */
static void labels_are_smoothed(void **state) {
    (void)state;
    fixture_t f;
    set_up(&f, "lenet");
    model_options_t options = options_of("lenet");
    options.label_smoothing = 0.2;
    model_destroy(f.model);
    assert_int_equal(model_create(&options, &f.model), SGP_OK);
    model_result_t trained, evaluated, expected;
    assert_int_equal(train(&f, BATCH, BATCH, &trained), SGP_OK);
    loss_softmax(&(loss_t){BATCH, BATCH, CLASSES, 0.2}, model_logits(f.model), f.labels, NULL,
                 &expected);
    assert_true(trained.loss_sum == expected.loss_sum);
    assert_int_equal(
        model_evaluate(f.model, f.parameters, f.buffers, f.images, f.labels, BATCH, &evaluated),
        SGP_OK);
    loss_softmax(&(loss_t){BATCH, BATCH, CLASSES, 0.0}, model_logits(f.model), f.labels, NULL,
                 &expected);
    assert_true(evaluated.loss_sum == expected.loss_sum);
    assert_true(fabs(evaluated.loss_sum - trained.loss_sum) > 1e-6);
    assert_int_equal(evaluated.correct5, expected.correct5);
    tear_down(&f);
}

static void memory_has_four_parts(void **state) {
    (void)state;
    for (int i = 0; i < NAME_COUNT; i++) {
        fixture_t f;
        set_up(&f, NAMES[i]);
        model_memory_t memory = model_memory(f.model);
        assert_int_equal(memory.weights + memory.scratchpad + memory.activations + memory.gradients,
                         model_memory_bytes(f.model));
        size_t floats = 0;
        for (size_t j = 0; j < model_layer_count(f.model); j++) {
            model_layer_t layer = model_layer(f.model, j);
            floats += (size_t)(BATCH * layer.height * layer.width * layer.channels);
        }
        assert_true(memory.gradients > 0);
        if (i == 1) assert_true(memory.activations >= floats * sizeof(float));
        tear_down(&f);
    }
}

/* Training memorises these few samples. */
static void training_lowers_the_loss(void **state) {
    (void)state;
    for (int i = 0; i < NAME_COUNT; i++) {
        fixture_t f;
        set_up(&f, NAMES[i]);
        model_result_t result = {0};
        for (int j = 0; j < 80; j++) {
            assert_int_equal(train(&f, BATCH, BATCH, &result), SGP_OK);
            for (size_t k = 0; k < f.count; k++) f.parameters[k] -= 0.05f * f.gradient[k];
        }
        assert_int_equal(result.correct, BATCH);
        assert_true(result.loss_sum < BATCH * log(CLASSES) / 3.0);
        tear_down(&f);
    }
}

static void destroying_nothing_is_fine(void **state) {
    (void)state;
    model_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_options_are_refused),    cmocka_unit_test(bad_calls_change_nothing),
        cmocka_unit_test(tensors_fill_the_vectors),   cmocka_unit_test(known_sizes),
        cmocka_unit_test(names_are_those_of_pytorch), cmocka_unit_test(initial_values),
        cmocka_unit_test(same_bits_every_time),       cmocka_unit_test(several_threads),
        cmocka_unit_test(only_the_valid_count),       cmocka_unit_test(nothing_valid_gives_zeros),
        cmocka_unit_test(few_samples_are_repeated),   cmocka_unit_test(evaluation_adds_up),
        cmocka_unit_test(labels_are_smoothed),        cmocka_unit_test(memory_has_four_parts),
        cmocka_unit_test(training_lowers_the_loss),   cmocka_unit_test(destroying_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
