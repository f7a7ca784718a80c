/* The fast path of one port without the interpreter's lock: the twin of flowcache.py, which says what it does.
 *
 * A burst reads, looks up, counts and writes, and hands the first frame back that it cannot carry out. Nothing here
 * knows a rule: a Flow says where a frame goes. Only CPython's limited API is used, so one build serves every later
 * version.
 *
 * While a burst runs its table must not change; only the thread of the event loop touches it, and `busy` keeps watch.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "flowtable.h"

enum { LEAST_ROOM = 68 * 1024 }; /* of a receive buffer: ROOM of flowcache.py */

/* The table as Python sees it. */
typedef struct {
    PyObject_HEAD
    Table table;
    Py_buffer values, buffer, clock;
    bool busy; /* a burst runs, without the interpreter's lock */
} FlowTable;

/* What keeps alive what an entry points to. */
typedef struct {
    PyObject *flow;
    Py_ssize_t count;
    Py_buffer views[];
} Owner;

/* A view of at least `least` items of this size that may be written to; raises ValueError. */
static bool get_view(PyObject *object, Py_ssize_t itemsize, Py_ssize_t least, Py_buffer *view)
{
    if (PyObject_GetBuffer(object, view, PyBUF_WRITABLE | PyBUF_FORMAT) < 0)
        return false;
    if (view->itemsize == itemsize && view->len / itemsize >= least && (uintptr_t)view->buf % (size_t)itemsize == 0)
        return true;
    PyBuffer_Release(view);
    PyErr_SetString(PyExc_ValueError, "the buffer has another shape");
    return false;
}

static bool check_idle(const FlowTable *self)
{
    if (self->busy)
        PyErr_SetString(PyExc_RuntimeError, "the table is in use by another thread");
    return !self->busy;
}

static void free_entry(Entry *entry)
{
    Owner *owner = entry->owner;
    for (Py_ssize_t i = 0; i < owner->count; i++)
        PyBuffer_Release(&owner->views[i]);
    Py_DECREF(owner->flow);
    PyMem_Free(owner);
    PyMem_Free(entry);
}

static void clear_table(Table *table)
{
    for (size_t i = 0; i < table->size && table->used; i++) {
        Entry *entry = table->slots[i];
        if (entry != NULL) {
            table->slots[i] = NULL;
            table->used--;
            free_entry(entry);
        }
    }
}

static PyObject *FlowTable_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *values, *buffer, *clock;
    unsigned long long seed;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OOOK", &values, &buffer, &clock, &seed))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    FlowTable *self = (FlowTable *)alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (!init_table(&self->table, seed))
        PyErr_NoMemory();
    if (self->table.slots == NULL || !get_view(values, 8, DROPPED, &self->values) ||
        !get_view(buffer, 1, LEAST_ROOM, &self->buffer) || !get_view(clock, 8, 1, &self->clock)) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    self->table.values = self->values.buf;
    self->table.clock = self->clock.buf;
    self->table.buffer = self->buffer.buf;
    self->table.room = (size_t)self->buffer.len;
    return (PyObject *)self;
}

static void FlowTable_dealloc(FlowTable *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    if (self->table.slots != NULL)
        clear_table(&self->table);
    free(self->table.slots);
    PyBuffer_Release(&self->values); /* nothing, where it was never got */
    PyBuffer_Release(&self->buffer);
    PyBuffer_Release(&self->clock);
    release(self);
    Py_DECREF((PyObject *)type);
}

static Py_ssize_t FlowTable_length(FlowTable *self) { return (Py_ssize_t)self->table.used; }

/* An attribute that is a number from `least` to `most`; raises. */
static bool get_number(PyObject *object, const char *name, long least, long most, long *number)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    if (value == NULL)
        return false;
    *number = PyLong_AsLong(value);
    Py_DECREF(value);
    if (*number == -1 && PyErr_Occurred())
        return false;
    if (*number >= least && *number <= most)
        return true;
    PyErr_Format(PyExc_ValueError, "%s is %ld, not from %ld to %ld", name, *number, least, most);
    return false;
}

/* The octets of a bytes object that holds from `least` to `most` of them; raises. */
static const char *get_octets(PyObject *object, Py_ssize_t least, Py_ssize_t most, Py_ssize_t *length)
{
    char *octets;
    if (PyBytes_AsStringAndSize(object, &octets, length) < 0)
        return NULL;
    if (*length >= least && *length <= most)
        return octets;
    PyErr_SetString(PyExc_ValueError, "octets of another length");
    return NULL;
}

/* The key of a flow, with tag control information just where there is a tag; raises. */
static bool get_key(PyObject *object, uint64_t key[2])
{
    Py_ssize_t length;
    const char *octets = get_octets(object, KEY, TAG_END, &length);
    if (octets == NULL)
        return false;
    if (length != (is_tag((const uint8_t *)octets + TYPE) ? TAG_END : KEY)) {
        PyErr_SetString(PyExc_ValueError, "a key of another length");
        return false;
    }
    pack_key(octets, (size_t)length, key);
    return true;
}

/* The VLAN and the address of a station, in one number, 0 for None; raises. */
static bool get_station(PyObject *object, uint64_t *station)
{
    PyObject *address;
    short vid;
    Py_ssize_t length;
    *station = 0;
    if (object == Py_None)
        return true;
    if (!PyTuple_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "a station is a tuple");
        return false;
    }
    if (!PyArg_ParseTuple(object, "hO", &vid, &address))
        return false;
    if (vid < 1) {
        PyErr_SetString(PyExc_ValueError, "a VLAN below 1");
        return false;
    }
    const char *octets = get_octets(address, 6, 6, &length);
    if (octets == NULL)
        return false;
    *station = (uint64_t)vid;
    for (int i = 0; i < 6; i++)
        *station = *station << 8 | (uint8_t)octets[i];
    return true;
}

static bool read_tag(PyObject *tag, Exit *exit)
{
    exit->tag_length = -1;
    if (tag == Py_None)
        return true;
    Py_ssize_t length;
    const char *octets = get_octets(tag, 0, TAG, &length);
    if (octets == NULL)
        return false;
    if (length != 0 && length != TAG) {
        PyErr_SetString(PyExc_ValueError, "a tag has four octets");
        return false;
    }
    memcpy(exit->tag, octets, (size_t)length);
    exit->tag_length = (int)length;
    return true;
}

/* A view of an attribute that the owner is to release. */
static void *own_view(Owner *owner, PyObject *object, const char *name, Py_ssize_t itemsize, Py_ssize_t least)
{
    Py_buffer *view = &owner->views[owner->count];
    PyObject *attribute = PyObject_GetAttrString(object, name);
    bool good = attribute != NULL && get_view(attribute, itemsize, least, view);
    Py_XDECREF(attribute);
    owner->count += good;
    return good ? view->buf : NULL;
}

/* One exit of a flow: (Exit, tag). */
static bool read_exit(PyObject *pair, Exit *exit, Owner *owner)
{
    PyObject *from, *tag;
    if (!PyTuple_Check(pair)) {
        PyErr_SetString(PyExc_TypeError, "an exit is a tuple");
        return false;
    }
    return PyArg_ParseTuple(pair, "OO", &from, &tag) && read_tag(tag, exit) &&
           (exit->state = own_view(owner, from, "state", sizeof(int), 2)) != NULL &&
           (exit->values = own_view(owner, from, "values", 8, DROPPED)) != NULL;
}

static bool read_flow(const FlowTable *self, PyObject *flow, PyObject *exits, Entry *entry)
{
    long cast, drop, longest, offload;
    long drops = (long)(self->values.len / 8) - DROPPED;
    if (!get_number(flow, "cast", 0, 2, &cast) || !get_number(flow, "drop", -1, drops - 1, &drop) ||
        !get_number(flow, "longest", 0, INT32_MAX, &longest) || !get_number(flow, "offload", 0, INT32_MAX, &offload))
        return false;
    entry->first = CELLS + (uint32_t)cast * SIZES;
    entry->drop = (int)drop;
    entry->longest = (uint32_t)longest;
    entry->offload = (uint32_t)offload;
    PyObject *key = PyObject_GetAttrString(flow, "key");
    bool good = key != NULL && get_key(key, entry->key);
    Py_XDECREF(key);
    PyObject *station = good ? PyObject_GetAttrString(flow, "station") : NULL;
    good = station != NULL && get_station(station, &entry->station);
    Py_XDECREF(station);
    PyObject *conversation = good ? PyObject_GetAttrString(flow, "conversation") : NULL;
    good = conversation != NULL && (entry->counts = own_view(entry->owner, conversation, "values", 8, COUNTS)) != NULL;
    Py_XDECREF(conversation);
    for (Py_ssize_t i = 0; good && i < PyTuple_Size(exits); i++)
        good = read_exit(PyTuple_GetItem(exits, i), &entry->exit[i], entry->owner);
    entry->exits = (uint32_t)PyTuple_Size(exits);
    return good;
}

static Entry *make_entry(const FlowTable *self, PyObject *flow)
{
    PyObject *exits = PyObject_GetAttrString(flow, "exits");
    if (exits != NULL && (!PyTuple_Check(exits) || PyTuple_Size(exits) > UINT16_MAX)) {
        PyErr_SetString(PyExc_TypeError, "the exits of a flow are a tuple");
        Py_CLEAR(exits);
    }
    if (exits == NULL)
        return NULL;
    size_t count = (size_t)PyTuple_Size(exits);
    Entry *entry = PyMem_Calloc(1, sizeof *entry + count * sizeof *entry->exit);
    Owner *owner = PyMem_Calloc(1, sizeof *owner + (1 + 2 * count) * sizeof *owner->views);
    if (entry == NULL || owner == NULL) {
        PyMem_Free(entry);
        PyMem_Free(owner);
        Py_DECREF(exits);
        PyErr_NoMemory();
        return NULL;
    }
    entry->owner = owner;
    owner->flow = Py_NewRef(flow);
    bool good = read_flow(self, flow, exits, entry);
    Py_DECREF(exits);
    if (!good) {
        free_entry(entry);
        return NULL;
    }
    return entry;
}

static PyObject *FlowTable_add(FlowTable *self, PyObject *flow)
{
    Entry *before, *entry = make_entry(self, flow);
    if (entry == NULL)
        return NULL;
    if (!check_idle(self)) { /* asked last: reading the flow's attributes may have let other threads run */
        free_entry(entry);
        return NULL;
    }
    if (!insert(&self->table, entry, &before)) {
        free_entry(entry);
        return PyErr_NoMemory();
    }
    if (before != NULL)
        free_entry(before);
    Py_RETURN_NONE;
}

static PyObject *FlowTable_discard(FlowTable *self, PyObject *object)
{
    uint64_t key[2];
    if (!check_idle(self) || !get_key(object, key))
        return NULL;
    Entry *entry = take(&self->table, key);
    if (entry != NULL)
        free_entry(entry);
    Py_RETURN_NONE;
}

static PyObject *FlowTable_clear(FlowTable *self, PyObject *unused)
{
    (void)unused;
    if (!check_idle(self))
        return NULL;
    clear_table(&self->table);
    Py_RETURN_NONE;
}

static PyObject *flow_of(const Entry *entry)
{
    return entry == NULL ? Py_None : ((const Owner *)entry->owner)->flow;
}

/* Any new object may set the garbage collector off, and what that finalizes may empty the table: references first. */
static PyObject *make_turn(Turn *turn)
{
    PyObject *met[MOST_FRAMES];
    for (uint32_t i = 0; i < turn->met; i++)
        met[i] = Py_NewRef(flow_of(turn->flows[i]));
    bool known = turn->length >= 0 && turn->entry != NULL;
    PyObject *flow = Py_NewRef(flow_of(known ? turn->entry : NULL));
    PyObject *flows = PyList_New((Py_ssize_t)turn->met);
    for (uint32_t i = 0; i < turn->met; i++) {
        if (flows == NULL)
            Py_DECREF(met[i]);
        else
            PyList_SetItem(flows, (Py_ssize_t)i, met[i]);
    }
    if (flows == NULL) {
        Py_DECREF(flow);
        return NULL;
    }
    return Py_BuildValue("INnNI", turn->read, flows, (Py_ssize_t)turn->length, flow, known ? turn->done : 0U);
}

static PyObject *FlowTable_burst(FlowTable *self, PyObject *args)
{
    int fd, frames, packet = 0;
    long long octets;
    Turn turn;
    if (!PyArg_ParseTuple(args, "iiL|p", &fd, &frames, &octets, &packet) || !check_idle(self))
        return NULL;
    self->busy = true;
    Py_BEGIN_ALLOW_THREADS
    run_burst(&self->table, fd, frames < 0 ? 0 : (uint32_t)frames, octets, packet, &turn);
    Py_END_ALLOW_THREADS
    self->busy = false;
    bool failed = turn.error && turn.error != EAGAIN && turn.error != EINTR; /* a signal is handled on return */
    if (failed && turn.read == 0) {
        errno = turn.error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return make_turn(&turn);
}

/* The octets of a frame that Python holds, padded: by a copy where it is short. */
static const uint8_t *get_frame(PyObject *object, Py_buffer *view, uint8_t copy[PADDED])
{
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (view->len > LEAST_ROOM) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_ValueError, "longer than any frame");
        return NULL;
    }
    if (view->len >= PADDED)
        return view->buf;
    memset(copy, 0, PADDED);
    if (view->len)
        memcpy(copy, view->buf, (size_t)view->len);
    return copy;
}

static PyObject *FlowTable_carry(FlowTable *self, PyObject *object)
{
    Py_buffer view;
    Wire wire;
    uint8_t copy[PADDED];
    const uint8_t *raw = check_idle(self) ? get_frame(object, &view, copy) : NULL;
    if (raw == NULL)
        return NULL;
    uint32_t got = (uint32_t)view.len;
    const Entry *entry = match(&self->table, raw, got, &wire);
    uint32_t done = entry == NULL ? 0 : carry(&self->table, entry, raw, got, &wire);
    PyObject *flow = Py_NewRef(flow_of(entry));
    PyBuffer_Release(&view);
    return Py_BuildValue("NI", flow, done);
}

static PyObject *FlowTable_match(FlowTable *self, PyObject *object)
{
    Py_buffer view;
    Wire wire;
    uint8_t copy[PADDED];
    const uint8_t *raw = check_idle(self) ? get_frame(object, &view, copy) : NULL;
    if (raw == NULL)
        return NULL;
    const Entry *entry = match(&self->table, raw, (uint32_t)view.len, &wire);
    PyObject *flow = Py_NewRef(flow_of(entry));
    PyBuffer_Release(&view);
    return entry == NULL ? flow : Py_BuildValue("NIII", flow, wire.segments, wire.octets, wire.longest);
}

static PyMethodDef methods[] = {
    {"add", (PyCFunction)(void *)FlowTable_add, METH_O, NULL},
    {"discard", (PyCFunction)(void *)FlowTable_discard, METH_O, NULL},
    {"clear", (PyCFunction)(void *)FlowTable_clear, METH_NOARGS, NULL},
    {"burst", (PyCFunction)(void *)FlowTable_burst, METH_VARARGS, NULL},
    {"carry", (PyCFunction)(void *)FlowTable_carry, METH_O, NULL},
    {"match", (PyCFunction)(void *)FlowTable_match, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The flows that enter by one port: FlowTable of vswitch.fastpath.flowcache, in C."},
    {Py_tp_new, (void *)FlowTable_new},
    {Py_tp_dealloc, (void *)FlowTable_dealloc},
    {Py_tp_methods, methods},
    {Py_sq_length, (void *)FlowTable_length},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "vswitch.fastpath._flowcache.FlowTable",
    .basicsize = sizeof(FlowTable),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

static int add_types(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddObjectRef(module, "FlowTable", type);
    Py_DECREF(type);
    return failed;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, (void *)add_types}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_flowcache",
    .m_doc = "The fast path in C.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__flowcache(void) { return PyModuleDef_Init(&module); }
