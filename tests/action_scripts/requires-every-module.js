// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":26}
function login(email, password, callback) {
  const names = ['argon2', 'async', 'auth0', 'axios', 'bcrypt', 'bcryptjs', 'easy-pbkdf2', 'ioredis',
    'jsonwebtoken', 'knex', 'ldapts', 'lodash', 'mongodb', 'mongoose', 'mssql', 'mysql', 'mysql2',
    'node-fetch', 'pg', 'q', 'request', 'sequelize', 'superagent', 'tedious', 'uuid', 'xml2js'];
  for (const name of names) require(name);
  callback(null, { user_id: names.length });
}
