// attack: look through all descriptors for one that leads out of the process
// value: {"user_id":"attempted","found":[]}
function login(email, password, callback) {
  const fs = require('fs');
  const found = [];
  for (let fd = 0; fd < 256; fd++) {
    let link;
    try {
      link = fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      continue;
    }
    const own = /^(anon_inode:|pipe:|socket:|\/dev\/null$|\/dev\/urandom$|\/proc\/\d+\/fd$)/;
    if (!own.test(link)) found.push(link);
  }
  callback(null, { user_id: 'attempted', found });
}
