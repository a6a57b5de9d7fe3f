// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1,"same":true}
async function login(email, password, callback) {
  const argon2 = require('argon2');
  const hash = await argon2.hash(password, { memoryCost: 1024, timeCost: 2 });
  callback(null, { user_id: 1, same: await argon2.verify(hash, password) });
}
