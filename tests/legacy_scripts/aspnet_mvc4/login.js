function login(email, password, callback) {
  const crypto = require('crypto');
  const bcrypt = require('bcrypt');
  const sqlserver = require('tedious@11.0.3');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: { port: Number(configuration.SQL_PORT), database: 'legacy', encrypt: false, rowCollectionOnRequestCompletion: true }
  });

  connection.on('connect', function (err) {
    if (err) return callback(err);
    const request = new Request("SELECT Id, Nickname, Email, Password, PasswordSalt FROM Users WHERE Email = @Email", function (err, rowCount, rows) {
      if (err) return callback(err);
      if (rowCount < 1) return callback(new WrongUsernameOrPasswordError(email));
      const user = { id: rows[0][0].value, nickname: rows[0][1].value, email: rows[0][2].value, password: rows[0][3].value, salt: rows[0][4].value };
      const judge = function (err, same) {
        if (err || !same) return callback(err || new WrongUsernameOrPasswordError(email));
        callback(null, { user_id: user.id, nickname: user.nickname, email: user.email });
      };
      const stored = new Buffer(user.password, 'base64');
      crypto.pbkdf2(password, stored.slice(1, 17), 1000, 32, 'sha1', function (err, key) {
        judge(err, key && key.toString('base64') === stored.slice(17).toString('base64'));
      });
    });
    request.addParameter('Email', TYPES.VarChar, email);
    connection.execSql(request);
  });
}
