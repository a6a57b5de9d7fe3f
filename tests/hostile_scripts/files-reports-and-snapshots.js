// attack: let Node write its reports, heap snapshots, profiles and traces, full of secrets
// needs: fs
// came_to: {"report":"any","heap":"any","trace":"any","cache":"any"}
function login(email, password, callback) {
  const { folder, mark } = configuration;
  const get = process.getBuiltinModule;
  report(callback, {
    report: () => void process.report.writeReport(`${folder}/${mark}.json`),
    heap: () => void get('v8').writeHeapSnapshot(`${folder}/${mark}.heapsnapshot`),
    trace: () => get('trace_events').createTracing({ categories: ['node'] }).enable(),
    cache: () => void get('module').enableCompileCache(`${folder}/${mark}`),
  });
}
