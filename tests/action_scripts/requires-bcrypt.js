// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1,"same":true}
function login(email, password, callback) {
  const bcrypt = require('bcrypt');
  bcrypt.hash(password, 4, (error, hash) => {
    if (error) return callback(error);
    bcrypt.compare(password, hash, (error, same) => callback(error, { user_id: 1, same }));
  });
}
