// attack: raise the heap limit from inside, then fill the heap
// deadline: 20
// outcome: any
function login(email, password, callback) {
  process.getBuiltinModule('v8').setFlagsFromString('--max-old-space-size=65536');
  process.getBuiltinModule('v8').setHeapSnapshotNearHeapLimit?.(2);
  const all = [];
  for (;;) all.push(new Array(1e6).fill(1.5));
}
