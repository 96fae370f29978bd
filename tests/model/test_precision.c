/* SPDX-License-Identifier: Apache-2.0 */
/* bfloat16 against float32: gradients, evaluation, and what training reaches. On a CPU that lacks
 * avx512_bf16, oneDNN computes it by other instructions if it can; else the test is skipped. */
#include "reference.h"

#include "model/model.h"

#include <sgp/log.h>

__attribute__((constructor)) static void allow_any(void) {
    setenv("SGP_BFLOAT16", "any", 1);
}

enum { BATCH = 16, SIDE = 16, CLASSES = 10, SAMPLES = 8 * BATCH, PIXELS = SIDE * SIDE };

typedef struct fixture {
    model_t *model;
    size_t count, buffer_count;
    float *parameters, *buffers, *gradient;
} fixture_t;

static bool set_up(fixture_t *f, const char *name, model_precision_t precision) {
    model_options_t options = {.name = name,
                               .batch = BATCH,
                               .height = SIDE,
                               .width = SIDE,
                               .channels = 1,
                               .classes = CLASSES,
                               .precision = precision};
    *f = (fixture_t){0};
    sgp_status_t status = model_create(&options, &f->model);
    if (status == SGP_ERR_UNSUPPORTED) return false;
    assert_int_equal(status, SGP_OK);
    assert_int_equal(model_precision(f->model), precision);
    f->count = model_parameter_count(f->model);
    f->buffer_count = model_buffer_count(f->model);
    f->parameters = make_floats(f->count);
    f->gradient = make_floats(f->count);
    f->buffers = make_floats(f->buffer_count);
    model_init_parameters(f->model, 7, f->parameters, f->buffers);
    /* Not the initial values, where half of a residual block has no gradient. */
    float *noise = make_random(f->count, 2, 0.05);
    for (size_t i = 0; i < f->count; i++) f->parameters[i] += noise[i];
    free(noise);
    return true;
}

static void tear_down(fixture_t *f) {
    model_destroy(f->model);
    free(f->parameters), free(f->buffers), free(f->gradient);
}

static void needs_bfloat16(const char *name) {
    fixture_t f;
    bool has = set_up(&f, name, MODEL_BFLOAT16);
    tear_down(&f);
    if (has) return;
    print_message("oneDNN does not compute %s in bfloat16 on this CPU\n", name);
    skip();
}

static double norm_of(const float *values, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += (double)values[i] * (double)values[i];
    return sqrt(sum);
}

/* The distance of two tensors, relative to the second one. */
static double distance(const float *a, const float *b, size_t count) {
    float *difference = make_floats(count);
    for (size_t i = 0; i < count; i++) difference[i] = a[i] - b[i];
    double result = norm_of(difference, count) / norm_of(b, count);
    free(difference);
    return result;
}

/* bfloat16 has 8 bits. A share e of a layer's outputs changes sign by rounding, so that their ReLUs
 * pass or stop the whole gradient: with e of about 2^-8, one layer moves the gradient by sqrt(e) =
 * 0.06 of its norm, and the layers behind it add to that. PyTorch's autocast differs from float32 by
 * as much (LeNet 0.04 to 0.10, ResNet-20 0.1 to 0.5). Batch norm's statistics have no such gate. */
#define STATISTICS 0.02

static void gradients_agree(void **state) {
    static const struct {
        const char *name;
        double tolerance;
    } cases[] = {{"mlp", 0.12}, {"lenet", 0.15}, {"resnet20", 0.25}};
    (void)state;
    needs_bfloat16("resnet20");
    float *images = make_random(BATCH * PIXELS, 3, 1.0);
    int32_t labels[BATCH];
    for (int i = 0; i < BATCH; i++) labels[i] = i * 3 % CLASSES;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_t half, whole;
        assert_true(set_up(&half, cases[i].name, MODEL_BFLOAT16));
        assert_true(set_up(&whole, cases[i].name, MODEL_FLOAT32));
        model_result_t a, b;
        for (int j = 0; j < 2; j++) {
            fixture_t *f = j ? &whole : &half;
            assert_int_equal(model_train(f->model, f->parameters, f->buffers, images, labels, BATCH,
                                         BATCH, f->gradient, j ? &b : &a),
                             SGP_OK);
        }
        assert_true(fabs(a.loss_sum / b.loss_sum - 1.0) < 0.01);
        for (size_t j = 0; j < model_tensor_count(whole.model); j++) {
            const model_tensor_t *t = model_tensor(whole.model, j);
            const float *x = (t->is_buffer ? half.buffers : half.gradient) + t->offset;
            const float *y = (t->is_buffer ? whole.buffers : whole.gradient) + t->offset;
            double far = distance(x, y, t->count);
            if (!(far < (t->is_buffer ? STATISTICS : cases[i].tolerance)))
                fail_msg("%s %s is %.3f of its norm from float32's", cases[i].name, t->name, far);
        }
        tear_down(&half);
        tear_down(&whole);
    }
    free(images);
}

/* Each class is a pattern, each sample its class's pattern in noise. */
static void make_samples(uint64_t seed, float *images, int32_t *labels) {
    float *patterns = make_random(CLASSES * PIXELS, 21, 0.8);
    float *noise = make_random(SAMPLES * PIXELS, seed, 1.0);
    for (int i = 0; i < SAMPLES; i++) {
        labels[i] = i % CLASSES;
        for (int j = 0; j < PIXELS; j++)
            images[i * PIXELS + j] = patterns[labels[i] * PIXELS + j] + noise[i * PIXELS + j];
    }
    free(patterns), free(noise);
}

/* The share of other samples that are classified correctly after some epochs. */
static double accuracy_after_training(const char *name, model_precision_t precision) {
    enum { EPOCHS = 12 };
    fixture_t f;
    assert_true(set_up(&f, name, precision));
    float *images = make_floats(SAMPLES * PIXELS);
    int32_t labels[SAMPLES];
    model_result_t result;
    int correct = 0;
    make_samples(31, images, labels);
    model_init_parameters(f.model, 7, f.parameters, f.buffers);
    for (int step = 0; step < EPOCHS * SAMPLES / BATCH; step++) {
        int first = step * BATCH % SAMPLES;
        assert_int_equal(model_train(f.model, f.parameters, f.buffers, images + first * PIXELS,
                                     labels + first, BATCH, BATCH, f.gradient, &result),
                         SGP_OK);
        for (size_t i = 0; i < f.count; i++) f.parameters[i] -= 0.05f * f.gradient[i];
    }
    make_samples(32, images, labels);
    for (int first = 0; first < SAMPLES; first += BATCH) {
        assert_int_equal(model_evaluate(f.model, f.parameters, f.buffers, images + first * PIXELS,
                                        labels + first, BATCH, &result),
                         SGP_OK);
        correct += result.correct;
    }
    free(images);
    tear_down(&f);
    return (double)correct / SAMPLES;
}

static void training_reaches_the_same_accuracy(void **state) {
    static const struct {
        const char *name;
        double least; /* by chance: 0.1 */
    } cases[] = {{"lenet", 0.9}, {"resnet20", 0.4}};
    (void)state;
    needs_bfloat16("resnet20");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double half = accuracy_after_training(cases[i].name, MODEL_BFLOAT16);
        double whole = accuracy_after_training(cases[i].name, MODEL_FLOAT32);
        print_message("%s: %.3f in bfloat16, %.3f in float32\n", cases[i].name, half, whole);
        assert_true(whole > cases[i].least);
        assert_true(fabs(half - whole) < 0.05);
    }
}

static void the_same_bits_every_time(void **state) {
    (void)state;
    needs_bfloat16("lenet");
    double first = accuracy_after_training("lenet", MODEL_BFLOAT16);
    assert_true(first == accuracy_after_training("lenet", MODEL_BFLOAT16));
}

/* Activations and their gradients take half the bytes. */
static void memory_is_halved(void **state) {
    (void)state;
    needs_bfloat16("resnet20");
    size_t activations[2], gradients[2];
    for (int half = 0; half < 2; half++) {
        model_options_t options = {.name = "resnet20",
                                   .batch = 64,
                                   .height = 32,
                                   .width = 32,
                                   .channels = 3,
                                   .classes = CLASSES,
                                   .precision = half ? MODEL_BFLOAT16 : MODEL_FLOAT32};
        model_t *model;
        assert_int_equal(model_create(&options, &model), SGP_OK);
        activations[half] = model_memory(model).activations;
        gradients[half] = model_memory(model).gradients;
        model_destroy(model);
    }
    assert_true(activations[1] < activations[0] * 55 / 100);
    assert_true(gradients[1] < gradients[0] * 60 / 100); /* in chunks of 2 MiB */
}

static void no_other_precision_is_accepted(void **state) {
    (void)state;
    model_options_t options = {.name = "mlp",
                               .batch = 2,
                               .height = 4,
                               .width = 4,
                               .channels = 1,
                               .classes = 2,
                               .precision = (model_precision_t)3};
    model_t *model = NULL;
    assert_int_equal(model_create(&options, &model), SGP_ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree),
        cmocka_unit_test(training_reaches_the_same_accuracy),
        cmocka_unit_test(the_same_bits_every_time),
        cmocka_unit_test(memory_is_halved),
        cmocka_unit_test(no_other_precision_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
