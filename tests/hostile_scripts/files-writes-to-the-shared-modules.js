// attack: put a line into a module that every connection loads
// needs: fs
// came_to: {"module":"refused","new":"refused","harness":"refused","rename":"refused"}
function login(email, password, callback) {
  const fs = require('fs');
  const { modules, harness, mark } = configuration;
  report(callback, {
    module: () => void fs.openSync(`${modules}/node_modules/pg/package.json`, 'r+'),
    new: () => void fs.openSync(`${modules}/node_modules/${mark}.js`, 'w'),
    harness: () => void fs.openSync(harness, 'a'),
    rename: () => fs.renameSync(`${modules}/node_modules/pg`, `${modules}/node_modules/${mark}`),
  });
}
