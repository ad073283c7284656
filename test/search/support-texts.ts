/**
 * The knowledge base, the tickets and some log lines of a shop for household machines, and what people look for in them. Codes,
 * order numbers and names are as they stand in such texts: many of them differ in a digit, and a model knows none of them.
 */

/** By id: what begins with `a` is an article, with `t` a ticket, with `l` a line of a log. */
export const texts: ReadonlyMap<string, string> = lines(`
a01 How to get your money back: send the item within 30 days and we return the full price to the card you paid with.
a02 Changing the delivery address is possible until the parcel has been handed to the carrier.
a03 If you have forgotten your password, use the link on the login page to set a new one.
a04 We ship to all countries of the European Union, to Norway and to Switzerland.
a05 The warranty of all machines is two years from the day of delivery; wear parts are not covered.
a06 Descaling the coffee machine: fill the tank with vinegar and water, run a full cycle, then rinse twice.
a07 The washing machine must stand level: turn its feet until it no longer wobbles while spinning.
a08 Clean the lint filter of the dryer after every load, or drying takes much longer.
a09 Dishes stay wet when the rinse aid is used up. Refill it on the inside of the door.
a10 The refrigerator should be set to 7 degrees; put nothing against the back wall, or it freezes on.
a11 Paying in instalments: choose three, six or twelve months at checkout. There is no interest for three.
a12 You can download all your invoices as PDF under My account, Orders.
a13 To delete your account for good, write to privacy. We erase your data within ten days.
a14 Gift cards are valid for three years and can be used in several orders.
a15 The vacuum robot cannot see black carpets: its sensors take them for stairs and it turns around.
a16 Replace the water filter of the coffee machine every two months or after 60 litres.
a17 Old appliances are taken away for free when we bring you a new one. Tick the box at checkout.
a18 Connecting the oven to the wireless network: hold the clock button until the light blinks, then open the app.
a19 Our phone lines are open Monday to Friday from eight to six.
a20 Students get a discount of ten percent with a valid card.
a21 Spare parts can be ordered for ten years after a model has been discontinued.
a22 The freezer makes ice on its walls when the door seal is dirty. Wipe it with warm water.
a23 Pyrolysis heats the oven to 480 degrees and burns everything to ash. Take out the trays first.
a24 If you work for a company, you can order on account and pay within 14 days.
a25 The microwave must never run empty, as this destroys the magnetron.
a26 Noise: spinning at 1,400 turns reaches 74 decibels, as loud as a busy street.
a27 Unpacking the washing machine: remove the four transport bolts at the back before you first use it.
a28 How to read the energy label: A uses least power, G most.
a29 Reviews can only be written by customers who bought the product from us.
a30 The newsletter comes twice a month; there is a link to unsubscribe at the end of each.
a31 Error E18 on dishwashers: the water does not drain. Clean the sieve and look whether the hose is bent.
a32 Error E19 on dishwashers: the water heats too slowly. Call our service.
a33 Error E23 on dishwashers: the leak sensor has found water in the base. Close the tap and call our service.
a34 Error F05 on washing machines: the drain pump is blocked. Open the flap at the bottom and clean it.
a35 Error F06 on washing machines: the door is not locked. Press it until it clicks.
a36 Error F21 on washing machines: the motor does not turn. Load less laundry and try again.
a37 Error H2O on dryers: empty the container for condensed water.
a38 Error 1202 on vacuum robots: the wheel is stuck. Remove hair and threads.
a39 Error 1205 on vacuum robots: the dust box is missing or full.
a40 Error 1208 on vacuum robots: the laser is dirty. Wipe it with a dry cloth.
a41 Spare part KX-3310: door seal for the refrigerators Fjord 200 and Fjord 220.
a42 Spare part KX-3311: door seal for the freezer Fjord 300.
a43 Spare part KX-3390: lower spray arm for the dishwashers Laguna S and Laguna L.
a44 Spare part WM-8801: carbon brushes for the washing machine Tromba 7.
a45 Spare part WM-8810: heating element for the washing machines Tromba 7 and Tromba 9.
a46 Spare part CM-0455: brew group for the coffee machine Perla.
a47 Spare part CM-0457: milk hose for the coffee machines Perla and Perla Duo.
a48 Firmware 4.12.0 of the vacuum robot Milo lets you draw zones on the map.
a49 Firmware 4.12.3 of the vacuum robot Milo repairs the return to the dock.
a50 Firmware 2.0.7 of the oven Vulcan adds a probe for meat.
t01 Where is my parcel? The tracking has not moved for six days. Order 20417733.
t02 I was charged two times for the same kettle. Please give me one of the payments back. Order 20417810.
t03 The box arrived crushed and the glass of the oven door is in pieces. Order 20418002.
t04 You sent me a white toaster, I wanted the red one. Order 20418011.
t05 My code for ten euros off is not accepted although it should run until May. Code SPRING-7Q2M.
t06 The courier left the machine at the kerb; I am 78 and cannot carry it upstairs. Order 20418120.
t07 I never got the mail in which I should confirm my registration.
t08 Can I swap the dryer for a bigger one? It has not been opened yet. Order 20418344.
t09 Water runs out under the dishwasher after every cycle, the kitchen floor is swollen by now.
t10 The fridge hums all night, nobody in our flat can sleep.
t11 My coffee tastes burnt since last week, and it comes out drop by drop.
t12 The robot drives in circles in the living room and does not find its way home.
t13 Clothes come out of the dryer as damp as I put them in.
t14 The drum bangs like a drum kit when it spins, the whole machine walks through the bathroom.
t15 It smells of burnt plastic when I switch on the microwave. I pulled the plug.
t16 The app tells me the oven is offline although it stands next to the router.
t17 Somebody else has ordered in my name! I did not buy a freezer. Order 20418777.
t18 The plates have a white film on them after washing, glasses are cloudy.
t19 I moved last month. How do I make sure that the next things go to the new flat?
t20 Nobody answers your hotline, I have been waiting for 50 minutes.
t21 The ice cream in the freezer is soft although it says minus 18.
t22 The man who installed the oven scratched our new worktop. Technician was Mr Okonkwo. Order 20419001.
t23 Please do not send Mr Lindqvist again, he came three hours late. Order 20419034.
t24 Very happy with Mrs Abernathy from the hotline, she solved it in minutes.
t25 Display shows F05, and the laundry swims in water. Tromba 7, bought in March.
t26 The machine stops with F21 in the middle of the programme. Tromba 9.
t27 E23 since yesterday; I closed the tap. Laguna L.
t28 Milo says 1208 although I cleaned everything twice.
t29 I ordered KX-3311 and got KX-3310. The seal does not fit my freezer. Order 20419212.
t30 When will WM-8810 be in stock again? It says six weeks.
t31 I need the manual of the Perla Duo in Polish.
t32 The payment with my credit card fails with code 3DS-51. My bank says that it is on your side.
t33 The payment by PayPal ends with code PP-10486 again and again.
t34 My invoice shows the wrong VAT number; it should be DE811907980.
t35 Serial number VT-77120-B: is this oven part of the recall?
t36 Serial number VT-77102-B: the door hinge is broken.
t37 Since firmware 4.12.0 the robot forgets its map each night.
t38 Since firmware 4.12.3 the robot cannot be started by voice.
t39 I would like an offer for 40 refrigerators for a student residence in Tartu.
t40 The price has fallen by 60 euros a day after I bought it. Do I get the difference?
t41 My daughter dropped the phone with the app in the sink, now I cannot log in any more with the second factor.
t42 The handle came off in my hand when I opened the freezer.
t43 There is a dead mouse behind the back panel of the dryer you delivered.
t44 How long do I have to decide whether I want to keep it?
t45 Can your people also connect the gas hob or do I need a plumber?
l01 2024-03-02 04:11:07 payments ERROR timeout calling acquirer worldline, request 7f3a-11c2, attempt 3 of 3
l02 2024-03-02 04:11:09 payments ERROR card declined, reason 51 insufficient funds, request 7f3a-22d9
l03 2024-03-02 04:12:30 payments WARN duplicate capture refused, request 9b01-77e0
l04 2024-03-02 05:00:00 stock INFO nightly import finished, 18231 rows
l05 2024-03-02 05:00:41 stock ERROR import row 5512 rejected: negative quantity for WM-8801
l06 2024-03-02 06:15:12 mail WARN bounce from mx.example.net: mailbox full
l07 2024-03-02 06:15:13 mail ERROR template order_confirmed_fi is missing
l08 2024-03-02 07:20:55 search WARN shard 3 is slow, 2200 ms
l09 2024-03-02 07:21:02 search ERROR node search-07 left the cluster
l10 2024-03-02 07:21:40 search INFO node search-07 joined the cluster
l11 2024-03-02 08:02:11 web ERROR ECONNRESET while proxying to basket-02
l12 2024-03-02 08:02:12 web ERROR ECONNREFUSED while proxying to basket-02
l13 2024-03-02 08:44:09 web WARN certificate of img.example.org expires in 6 days
l14 2024-03-02 09:10:00 orders ERROR deadlock detected on table order_lines, transaction rolled back
l15 2024-03-02 09:10:01 orders ERROR foreign key violation on table order_lines, constraint fk_orders_customer
l16 2024-03-02 09:31:27 auth WARN 41 failed logins for user m.kowalczyk within a minute, locked
l17 2024-03-02 09:32:00 auth WARN token signed with unknown key 5e1f0c
l18 2024-03-02 10:05:44 disk WARN /var/lib/postgres is 91 percent full on db-04
l19 2024-03-02 10:06:10 disk ERROR /var/lib/postgres is 99 percent full on db-05
l20 2024-03-02 10:40:00 web ERROR out of memory, worker 12 killed by signal 9
l21 2024-03-02 11:00:15 carrier ERROR label service answers 503, parcel waits, order 20418120
l22 2024-03-02 11:00:16 carrier INFO label printed, order 20418121
l23 2024-03-02 11:25:31 fraud WARN order 20418777 held: address differs from the card's
l24 2024-03-02 11:26:02 fraud INFO order 20418778 released
l25 2024-03-02 12:00:00 stock WARN CM-0457 below minimum, 3 left
l26 2024-03-02 12:10:45 robots ERROR firmware 4.12.3 upload to device 88ab-0417 failed: checksum
l27 2024-03-02 12:10:59 robots INFO firmware 4.12.3 upload to device 88ab-0471 finished
l28 2024-03-02 12:44:00 ovens WARN VT-77120-B reports door open while heating
l29 2024-03-02 13:00:00 backup ERROR snapshot of db-04 failed: no space left on device
l30 2024-03-02 13:15:20 web WARN slow response 4,711 ms on /checkout
`)

export interface Wanted {
  readonly query: string
  /** Ids of the texts that answer it. */
  readonly relevant: readonly string[]
}

/** In other words than the texts have. */
export const paraphrases: readonly Wanted[] = [
  { query: 'I want a refund', relevant: ['a01', 't02'] },
  { query: 'send it somewhere else than I first said', relevant: ['a02', 't19'] },
  { query: 'cannot sign in any more', relevant: ['a03', 't41'] },
  { query: 'do you deliver abroad', relevant: ['a04'] },
  { query: 'limescale in the espresso maker', relevant: ['a06'] },
  { query: 'espresso is bitter and slow', relevant: ['t11'] },
  { query: 'washer shakes and jumps around', relevant: ['a07', 't14', 'a27'] },
  { query: 'tumbler does not dry the clothing', relevant: ['t13', 'a08'] },
  { query: 'cleaner gets lost and never docks', relevant: ['t12', 'a49'] },
  { query: 'leaking appliance ruined the parquet', relevant: ['t09', 'a33'] },
  { query: 'too loud at night', relevant: ['t10', 'a26'] },
  { query: 'billed twice', relevant: ['t02'] },
  { query: 'goods damaged in transit', relevant: ['t03'] },
  { query: 'wrong colour delivered', relevant: ['t04'] },
  { query: 'voucher rejected', relevant: ['t05'] },
  { query: 'elderly customer left without help by the delivery driver', relevant: ['t06'] },
  { query: 'identity theft, fraudulent purchase', relevant: ['t17', 'l23'] },
  { query: 'stains on glassware from the dishwasher', relevant: ['t18'] },
  { query: 'frozen food is thawing', relevant: ['t21'] },
  { query: 'remove all my personal information', relevant: ['a13'] },
  { query: 'spread the cost over time', relevant: ['a11'] },
  { query: 'cooling-off period for purchases', relevant: ['t44', 'a01'] },
  { query: 'storage is running out of room on the database machine', relevant: ['l18', 'l19', 'l29'] },
  { query: 'process crashed because memory was exhausted', relevant: ['l20'] },
  { query: 'brute force attack on an account', relevant: ['l16'] },
]

/** With a code, a number or a name in them, mostly among words that many texts have. */
export const codes: readonly Wanted[] = [
  { query: 'dishwasher shows E23', relevant: ['a33', 't27'] },
  { query: 'what does E19 mean', relevant: ['a32'] },
  { query: 'washing machine error F06', relevant: ['a35'] },
  { query: 'F21', relevant: ['a36', 't26'] },
  { query: 'vacuum robot error 1205', relevant: ['a39'] },
  { query: 'robot 1208 what to do', relevant: ['a40', 't28'] },
  { query: 'KX-3311', relevant: ['a42', 't29'] },
  { query: 'price of part KX-3390', relevant: ['a43'] },
  { query: 'is WM-8801 available', relevant: ['a44', 'l05'] },
  { query: 'order part WM-8810', relevant: ['a45', 't30'] },
  { query: 'CM-0457 stock', relevant: ['a47', 'l25'] },
  { query: 'CM-0455', relevant: ['a46'] },
  { query: 'problem after firmware 4.12.0', relevant: ['t37', 'a48'] },
  { query: 'order 20418120', relevant: ['t06', 'l21'] },
  { query: 'status of order 20417733', relevant: ['t01'] },
  { query: 'order 20418777 fraud', relevant: ['t17', 'l23'] },
  { query: 'complaint about Lindqvist', relevant: ['t23'] },
  { query: 'technician Okonkwo', relevant: ['t22'] },
  { query: 'Abernathy', relevant: ['t24'] },
  { query: 'payment error 3DS-51', relevant: ['t32'] },
  { query: 'PP-10486', relevant: ['t33'] },
  { query: 'code SPRING-7Q2M', relevant: ['t05'] },
  { query: 'oven VT-77102-B', relevant: ['t36'] },
  { query: 'recall VT-77120-B', relevant: ['t35', 'l28'] },
  { query: 'Perla Duo', relevant: ['a47', 't31'] },
  { query: 'failed logins kowalczyk', relevant: ['l16'] },
  { query: 'device 88ab-0417', relevant: ['l26'] },
  { query: 'request 9b01-77e0', relevant: ['l03'] },
  { query: 'ECONNREFUSED basket-02', relevant: ['l12'] },
  { query: 'what happened to search-07', relevant: ['l09', 'l10'] },
  { query: 'fk_orders_customer', relevant: ['l15'] },
  { query: 'VAT DE811907980', relevant: ['t34'] },
]

function lines(text: string): ReadonlyMap<string, string> {
  return new Map(
    text
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, 3), line.slice(4)]),
  )
}
