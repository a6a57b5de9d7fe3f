// attack: watch a folder that it may not list, to learn names of files
// needs: full
// came_to: {"watch":"refused","stat":"any"}
function login(email, password, callback) {
  const fs = require('fs');
  report(callback, {
    watch: () => fs.watch(configuration.folder).close(),
    stat: () => void fs.statSync(configuration.secret_file),
  });
}
